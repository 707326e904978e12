"""MariaDB and MySQL, by PyMySQL."""

import contextlib
import datetime
import importlib.util
import inspect
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.engine import URL, Dialect

from storage.backends.base import (
    ANSWER_S,
    IDLE_TIMEOUT_S,
    SCHEMA_IS_BUSY,
    SCHEMA_LOCK,
    SILENCE_S,
    Backend,
)
from storage.errors import StorageURLError


SQLALCHEMY_OPTIONS = {"ssl_capath", "ssl_cipher", "ssl_check_hostname"}
"""URL options that SQLAlchemy handles itself."""

_LASTING_CODES = {1044, 1045, 1049, 1054, 1698}
"""Codes of errors that another try would not change: unknown user, database or column."""


class MySQL(Backend):
    """A MariaDB or MySQL server."""

    schemes = ("mysql", "mariadb")
    driver = "mysql+pymysql"
    extra = "mysql"
    clock = "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) / 1e6)"
    # This charset can store every character that a traceback may have.
    table_options = MappingProxyType({"mysql_charset": "utf8mb4"})
    long_text = LONGTEXT()

    def check_url(self, url: URL) -> None:
        if not url.database:
            raise StorageURLError(
                "the storage URL names no database; write mysql://user:password@host/database"
            )
        if "ssl" in url.query:
            raise StorageURLError(
                "the storage URL has the option ssl, which the driver cannot read from a URL; for "
                "an encrypted connection name the file of the certificate authority: ssl_ca=FILE"
            )
        if importlib.util.find_spec("pymysql") is None:
            return  # what opens the database says that the driver is missing
        import pymysql  # an optional dependency

        known = inspect.signature(pymysql.Connection).parameters.keys() | SQLALCHEMY_OPTIONS
        if unknown := sorted(set(url.query) - known):
            raise StorageURLError(
                f"the storage URL has an unknown option: {unknown[0]}; leave it out"
            )
        charset = str(url.query.get("charset", "utf8mb4"))
        if pymysql.charset.charset_by_name(charset) is None:
            raise StorageURLError(f"the storage URL has an unknown charset: {charset}; use utf8mb4")

    def engine_options(self, url: URL) -> dict[str, Any]:
        # Only MariaDB has this timeout. For MySQL the text between /* and */ is a comment.
        idle = f"SET @hpo = 1 /*M!100300 , SESSION idle_transaction_timeout = {IDLE_TIMEOUT_S} */"
        timeouts = {"connect_timeout": 10, "read_timeout": ANSWER_S, "write_timeout": SILENCE_S}
        return {**super().engine_options(url), "connect_args": {"init_command": idle, **timeouts}}

    @contextlib.contextmanager
    def schema_lock(self, engine: sa.Engine) -> Iterator[None]:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            lock = sa.text("SELECT GET_LOCK(:name, :timeout_s)")
            values = {"name": SCHEMA_LOCK, "timeout_s": self.schema_lock_timeout_s}
            if connection.execute(lock, values).scalar() != 1:
                raise sa.exc.TimeoutError(SCHEMA_IS_BUSY)
            yield  # closing the connection frees the lock

    def is_lasting(self, refusal: BaseException) -> bool:
        return bool(refusal.args) and refusal.args[0] in _LASTING_CODES

    def server_name(self, dialect: Dialect) -> str:
        return "MariaDB" if getattr(dialect, "is_mariadb", False) else "MySQL"

    def as_stored(self, value: Any) -> Any:
        """The value; a time is cut to whole seconds, as Optuna's tables store it."""
        return value.replace(microsecond=0) if isinstance(value, datetime.datetime) else value
