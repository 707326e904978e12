"""The kinds of database that can hold studies, one file each.

To add a kind of database, write a subclass of `Backend` in a new file and add it to `BACKENDS`.
"""

import re

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from storage.backends.base import Backend
from storage.backends.mysql import MySQL
from storage.backends.postgresql import PostgreSQL
from storage.backends.sqlite import SQLite
from storage.errors import StorageURLError


__all__ = ["BACKENDS", "Backend", "backend_of", "parse_url"]

BACKENDS: tuple[Backend, ...] = (SQLite(), PostgreSQL(), MySQL())

_OPTIONS = re.compile(r"[\w+]+://(?:[^:/]*(?::[^@]*)?@)?[^?]*\?(.*)", re.DOTALL)
"""A storage URL with options, which are the group; user and password may contain a `?`."""


def parse_url(url: str) -> tuple[URL, Backend]:
    """The storage URL with the driver that hpo uses, and the kind of database.

    Raises:
        StorageURLError: the URL cannot be read, hpo does not know this kind of database, or the
            driver does not know an option of the URL.
    """
    try:
        url.encode()  # a byte that is not UTF-8 raises a UnicodeEncodeError, a ValueError
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StorageURLError(
            "the storage URL cannot be read; write sqlite:///hpo.db or "
            "postgresql://user:password@host/database"
        ) from error
    _check_options(url)
    scheme = parsed.drivername.partition("+")[0]
    backend = next((backend for backend in BACKENDS if scheme in backend.schemes), None)
    if backend is None:
        raise StorageURLError(
            f"cannot store studies in {scheme!r}; use sqlite, postgresql or mysql (MariaDB)"
        )
    if "@" in (parsed.host or ""):
        raise StorageURLError("the storage URL has an @ in its password; write %40 instead of it")
    parsed = parsed.set(drivername=backend.driver)
    backend.check_url(parsed)
    return parsed, backend


def _check_options(url: str) -> None:
    """Check that each option of a storage URL has a value: SQLAlchemy leaves out all others.

    Raises:
        StorageURLError: an option has no value.
    """
    match = _OPTIONS.match(url)
    for option in match[1].split("&") if match else ():
        name, _, value = option.partition("=")
        if not (name and value):
            what = f"{name!r} without a value" if name else "no option"
            raise StorageURLError(
                f"the storage URL has {what} after its ?; write options as name=value, and no ? "
                "in the name of a file"
            )


def backend_of(engine: sa.Engine) -> Backend:
    """The kind of database that an engine opens."""
    return next(backend for backend in BACKENDS if backend.driver == engine.url.drivername)
