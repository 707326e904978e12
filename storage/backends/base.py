"""The interface of a kind of database, such as SQLite or PostgreSQL."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Dialect

from storage.errors import StorageURLError
from storage.passwords import masked


SCHEMA_LOCK = "hpo schema"
"""Name of the lock under which tables are made and upgraded."""

SCHEMA_LOCK_TIMEOUT_S = 50
"""Seconds to wait for the schema lock; then the command ends with an error."""

SCHEMA_IS_BUSY = (
    f"another process has been making the tables for over {SCHEMA_LOCK_TIMEOUT_S} s; try again"
)

IDLE_TIMEOUT_S = 10
"""Seconds without a statement before the server aborts a transaction and frees its locks."""

SILENCE_S = 30
"""Seconds without a network packet before a connection counts as lost."""

ANSWER_S = 2 * SILENCE_S
"""Seconds that a server may take to answer one statement before the connection counts as lost.

This is longer than any statement of hpo takes, and longer than the server waits for a lock.
"""


@contextmanager
def driver_errors(dialect: Dialect, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn what a driver raises for a wrong URL into one line; `options` are those of its connect.

    A driver raises a `TypeError`, for example, for an option of another type. The errors that it
    has for the database itself pass unchanged.

    Raises:
        StorageURLError: the driver raised another error than those for the database.
    """
    try:
        yield
    except dialect.loaded_dbapi.Error:
        raise
    except Exception as error:
        raise unusable_url(error, options.get("password"), options.get("passwd")) from error


def unusable_url(error: Exception, *passwords: object) -> StorageURLError:
    """The error for a URL that a driver or SQLAlchemy cannot use, without the passwords."""
    reason = masked(f"{type(error).__name__}: {error}", passwords)
    if isinstance(error, UnicodeError):  # its message shows a character, perhaps of a password
        reason = "the driver cannot encode a character of it"
    return StorageURLError(
        f"the driver of the database cannot connect by the storage URL ({reason}); check its host "
        "and its options, which follow the ?"
    )


class Backend(ABC):
    """One kind of database; a subclass overrides what differs from this class.

    schemes: the schemes of storage URLs, such as `postgresql`.
    driver: SQLAlchemy's name for dialect and driver.
    extra: the extra of the package hpo that installs the driver; empty if none is needed.
    clock: the SQL expression for the time now, not for the time when the transaction began; in
        seconds since 1970, a double.
    schema_lock_timeout_s: seconds to wait for the schema lock.
    table_options: keyword arguments for `sqlalchemy.Table`.
    long_text: the column type for text without a limit; None if that is `sqlalchemy.Text`.
    """

    schemes: tuple[str, ...]
    driver: str
    extra: str = ""
    clock: str
    schema_lock_timeout_s = SCHEMA_LOCK_TIMEOUT_S
    table_options: Mapping[str, Any] = MappingProxyType({})
    long_text: sa.types.TypeEngine[str] | None = None

    def check_url(self, url: URL) -> None:
        """Check the parts of a storage URL that are specific to this kind of database.

        Raises:
            StorageURLError: the URL cannot be used.
        """

    def check_file(self, url: URL, *, create: bool) -> None:
        """Check the database's file, if this kind of database is a file.

        Raises:
            StorageURLError: the file cannot be a database.
            EmptyStorageError: the file does not exist and `create` is not set.
        """

    def file(self, url: URL) -> Path | None:
        """The file that holds the database; None for a server."""
        return None

    def is_read_only(self, url: URL) -> bool:
        """Whether the database is an existing file that this process cannot write to."""
        return False

    def absolute(self, url: URL) -> URL:
        """The URL with the absolute path of the database's file, if there is a file."""
        return url

    def engine_options(self, url: URL) -> dict[str, Any]:
        """Keyword arguments for `sqlalchemy.create_engine` that claims and leases need."""
        return {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}

    def prepare_engine(self, engine: sa.Engine) -> None:
        """Set up the engine of an open database, before its first connection is used."""

    def begin_write(self, connection: Connection) -> None:
        """Begin a transaction that will write, if the driver does not do it in time."""

    def begin_snapshot(self, connection: Connection) -> None:
        """Make all later reads of this connection see the database as it is at the first read."""
        connection.execution_options(isolation_level="REPEATABLE READ")

    @abstractmethod
    def schema_lock(self, engine: sa.Engine) -> AbstractContextManager[None]:
        """A lock on making and upgrading tables that only one process on any machine can hold.

        Raises:
            sqlalchemy.exc.TimeoutError: another process held the lock for too long.
        """

    def is_lasting(self, refusal: BaseException) -> bool:
        """Whether another try would fail with the same error, for example an unknown user."""
        return False

    def is_cut_connection(self, refusal: BaseException) -> bool:
        """Whether the driver's error is a lost connection that SQLAlchemy does not recognize."""
        return False

    @abstractmethod
    def server_name(self, dialect: Dialect) -> str:
        """The name of the product, such as MariaDB."""

    def as_stored(self, value: Any) -> Any:
        """The value that the database returns after this value was written."""
        return value

    def damage(self, connection: Connection) -> list[str] | None:
        """The damage that the database finds in its file, one text per problem.

        None if this kind of database cannot check its file.
        """
        return None
