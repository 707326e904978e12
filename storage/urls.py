"""Storage URLs: which database one names, and what is wrong with it before anything is opened."""

import inspect
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from storage.errors import EmptyStorageError, StorageURLError


DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}

OF_SQLALCHEMY = {"ssl_capath", "ssl_cipher", "ssl_check_hostname"}
"""Options of a MySQL URL that SQLAlchemy itself understands."""


def parse_url(url: str) -> URL:
    """The database's URL with the driver that we use.

    Raises:
        StorageURLError: it cannot be read, or names a kind of database that we do not know.
    """
    try:
        parsed = make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise StorageURLError(
            "the storage URL cannot be read; write sqlite:///hpo.db or "
            "postgresql://user:password@host/database"
        ) from error
    backend = parsed.drivername.partition("+")[0]
    if backend not in DRIVERS:
        raise StorageURLError(
            f"cannot store studies in {backend!r}; use sqlite, postgresql or mysql (MariaDB)"
        )
    if backend == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise StorageURLError("workers cannot share a database in memory; write sqlite:///hpo.db")
    parsed = parsed.set(drivername=DRIVERS[backend])
    _check_options(parsed)
    return parsed


def _check_options(url: URL) -> None:
    """See that the driver can make something of what stands behind the question mark."""
    if url.drivername == "sqlite" and url.query:
        raise StorageURLError("the storage URL has options, and SQLite takes none: leave out ?...")
    if not url.drivername.startswith("mysql"):
        return  # the server's own library names what it does not know
    if not url.database:
        raise StorageURLError(
            "the storage URL names no database; write mysql://user:password@host/database"
        )
    import pymysql

    known = inspect.signature(pymysql.Connection).parameters.keys() | OF_SQLALCHEMY
    if unknown := sorted(set(url.query) - known):
        raise StorageURLError(f"the storage URL has an option that is unknown: {unknown[0]}")
    charset = str(url.query.get("charset", "utf8mb4"))
    if pymysql.charset.charset_by_name(charset) is None:
        raise StorageURLError(f"the storage URL has a charset that is unknown: {charset}")


def check_file(url: URL, *, create: bool) -> None:
    """See that an SQLite URL names a file that is there, or with `create` could be.

    Raises:
        StorageURLError: it names a folder, lies in none, or cannot be a file's name.
        EmptyStorageError: it is not there.
    """
    if url.drivername != "sqlite":
        return
    path = Path(str(url.database))
    try:
        if path.is_dir() or not path.parent.is_dir():
            raise StorageURLError(f"{path} cannot be a database: it is a folder or lies in none")
        if not create and not path.exists():
            raise EmptyStorageError(f"no database at {path} yet; hpo study create makes one")
    except OSError as error:
        raise StorageURLError(f"{path} cannot be a database: {error.strerror}") from error
