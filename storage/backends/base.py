"""What hpo needs to know of a kind of database."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Dialect


SCHEMA_LOCK = "hpo schema"
"""Name of the lock under which tables are created and upgraded."""

SCHEMA_LOCK_TIMEOUT_S = 50
"""Seconds to wait for the schema lock; then the command ends with an error."""

SCHEMA_IS_BUSY = (
    f"another process has been making the tables for over {SCHEMA_LOCK_TIMEOUT_S} s; try again"
)

IDLE_TIMEOUT_S = 10
"""Seconds before the server ends a transaction whose worker stands still, and frees its locks."""

SILENCE_S = 30
"""Seconds of silence on the network before a connection counts as lost."""

ANSWER_S = 2 * SILENCE_S
"""Seconds that a server may take to answer one statement before the connection counts as lost.

It is longer than any statement of hpo takes, and longer than the server waits for a lock.
"""


class Backend:
    """One kind of database. A kind of its own overrides what differs.

    schemes: what a storage URL of this kind begins with.
    driver: SQLAlchemy's name for dialect and driver.
    extra: the extra of the package hpo that installs the driver; empty if none is needed.
    clock: the SQL of the time now, in seconds since 1970 as a double; not the transaction's start.
    table_options: keywords for `sqlalchemy.Table`.
    long_text: the type of a text without a limit, if `sqlalchemy.Text` has one.
    """

    schemes: tuple[str, ...]
    driver: str
    extra: str = ""
    clock: str
    schema_lock_timeout_s = SCHEMA_LOCK_TIMEOUT_S
    table_options: Mapping[str, Any] = MappingProxyType({})
    long_text: sa.types.TypeEngine[str] | None = None

    def check_url(self, url: URL) -> None:
        """Check the parts of a storage URL that only this kind of database knows.

        Raises:
            StorageURLError: the URL cannot be used.
        """

    def check_file(self, url: URL, *, create: bool) -> None:
        """Check the database's file, if this kind keeps the database in one.

        Raises:
            StorageURLError: the file cannot be a database.
            EmptyStorageError: the file does not exist and `create` is not set.
        """

    def file(self, url: URL) -> Path | None:
        """The file that holds the database; None for a server."""
        return None

    def engine_options(self, url: URL) -> dict[str, Any]:
        """Keywords for `sqlalchemy.create_engine` that claims and leases rely on."""
        return {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}

    def prepare_engine(self, engine: sa.Engine) -> None:
        """Set up the engine of an open database, before its first connection is used."""

    def begin_write(self, connection: Connection) -> None:
        """Begin a transaction that will write, if the driver does not begin it as needed."""

    def begin_snapshot(self, connection: Connection) -> None:
        """Make every later read of this connection see the database at one moment."""
        connection.execution_options(isolation_level="REPEATABLE READ")

    def schema_lock(self, engine: sa.Engine) -> AbstractContextManager[None]:
        """Hold a lock that one process at a time holds, whichever machine it runs on.

        Raises:
            sqlalchemy.exc.TimeoutError: another process held the lock for too long.
        """
        raise NotImplementedError

    def is_lasting(self, refusal: BaseException) -> bool:
        """Whether a driver's error will come again at the next try: an unknown user, say."""
        return False

    def is_cut_connection(self, refusal: BaseException) -> bool:
        """Whether a driver's error means a lost connection that SQLAlchemy does not recognize."""
        return False

    def server_name(self, dialect: Dialect) -> str:
        """The product's name, such as MariaDB."""
        raise NotImplementedError

    def as_stored(self, value: Any) -> Any:
        """A value as the database gives it back after it was written."""
        return value

    def damage(self, connection: Connection) -> list[str] | None:
        """What the database finds wrong with its own file, a line each; None if it has no check."""
        return None
