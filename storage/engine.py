"""An open database: its SQLAlchemy engine, Optuna's storage and hpo's transactions.

Optuna's writes take part in hpo's transactions (`Database.transaction`), so that related rows in
both sets of tables are written in one commit.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from storage import optuna_tables, schema
from storage.backends import Backend, parse_url
from storage.backends.base import driver_errors, unusable_url
from storage.errors import ReadOnlyError, StorageError, UnreachableError
from storage.passwords import masked, passwords_of
from storage.retry import Outages


T = TypeVar("T")

optuna.logging.set_verbosity(optuna.logging.WARNING)  # below that Optuna logs every new study
for library in ("optuna.storages", "psycopg", "sqlalchemy.pool"):  # hpo logs their errors itself
    logging.getLogger(library).setLevel(logging.CRITICAL)

ROLLED_BACK = "the transaction was rolled back by Optuna"

REFUSALS = (
    sa.exc.DBAPIError,
    sa.exc.PendingRollbackError,
    sa.exc.TimeoutError,
    optuna.exceptions.StorageInternalError,
)
"""The errors of SQLAlchemy and Optuna that mean that the database refused a call."""


def _pause(duration_s: float) -> None:
    threading.Event().wait(duration_s)


class UncheckedDatabase:
    """A database whose tables are not checked: they may be missing or of any version.

    `name` is the URL without the password. `url` names a file by its absolute path, so that code
    that changes the working folder does not lead to another file. A database `is_read_only` if it
    is a file that this process cannot write to.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        """Check the URL; with `create` the file of an SQLite database need not exist yet.

        Raises:
            StorageURLError: the URL cannot be read, or hpo does not know this kind of database.
            EmptyStorageError: the database's file does not exist and `create` is not set.
        """
        written, self.backend = parse_url(url)
        self.name = written.set(query={}).render_as_string(hide_password=True)
        self.backend.check_file(written, create=create)
        self.url = self.backend.absolute(written)
        self.is_read_only = self.backend.is_read_only(self.url)
        self.engine = _make_engine(self.url, self.backend)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading only."""
        with self.errors_translated(), self.engine.connect() as connection:
            yield connection

    def check_writable(self) -> None:
        """Check that the database is no read-only file.

        Raises:
            ReadOnlyError: the database is a file that this process cannot write to.
        """
        if self.is_read_only:
            raise ReadOnlyError(
                f"cannot write to the database {self.name}: the file or its folder is read-only; "
                "get the right to write, or make a copy elsewhere: hpo study copy NAME --to URL"
            )

    def ping(self) -> None:
        """Check that the database answers.

        Raises:
            UnreachableError: the database does not answer.
        """
        with self.reading() as connection:
            connection.execute(sa.select(1))

    @contextlib.contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Turn the errors of SQLAlchemy and Optuna into one line without the password.

        Raises:
            UnreachableError: the database refused a call in the block.
        """
        try:
            yield
        except REFUSALS as error:
            raise UnreachableError(
                f"cannot use the database {self.name}: {self._reason(error)}; check that it runs "
                "and that --storage (or HPO_STORAGE) is right"
            ) from error

    def _reason(self, error: BaseException) -> str:
        """The message of the driver, on one line and without the password."""
        if error.__cause__ is not None and not isinstance(error, sa.exc.DBAPIError):
            error = error.__cause__
        message = " ".join(str(getattr(error, "orig", None) or error).split())
        return masked(message, passwords_of(self.url))


class Database(UncheckedDatabase):
    """An open database with Optuna's and hpo's tables, both of this program's versions.

    `optuna` is Optuna's storage with its cache, on the same engine. `outages` knows when the
    database did not answer. Thread-safe: each thread has its own connection and Optuna session.
    """

    def __init__(self, url: str, *, create: bool = False, outages: Outages | None = None) -> None:
        """Open the database at `url`; with `create` make the tables if they are missing.

        `outages` holds the outages of earlier attempts to open the database.

        Raises:
            StorageURLError: the URL cannot be read, or hpo does not know this kind of database.
            EmptyStorageError: the database has no tables yet and `create` is not set.
            OutdatedError: the tables are older or newer than this program.
            UnreachableError: the database does not answer.
        """
        super().__init__(url, create=create)
        self.outages = outages or Outages()
        with self.errors_translated():
            schema.prepare(self.engine, self.name, create=create)
            self._rdb = _optuna_storage(self.url, self.backend)
        self.engine = self._rdb.engine
        self.clear_cache()

    @classmethod
    def when_it_answers(
        cls,
        url: str,
        *,
        create: bool = False,
        timeout_s: float,
        wait: Callable[[float], object] = _pause,
    ) -> "Database":
        """Open the database; while it does not answer, try again as `retry` does.

        Raises:
            StorageError: the database cannot be opened, or did not answer for `timeout_s`.
        """
        outages = Outages()

        def open_database() -> Database:
            return cls(url, create=create, outages=outages)

        return outages.wait_out(open_database, timeout_s=timeout_s, wait=wait)

    def clear_cache(self) -> None:
        """Empty Optuna's cache, for example because a study in it was deleted."""
        self.optuna = optuna.storages.get_storage(self._rdb)
        self._created_at: dict[int, float] = {}

    def note_study(self, study_id: int, created_at: float) -> None:
        """Record a study that was read; empty Optuna's cache if another study had its id."""
        if self._created_at.get(study_id, created_at) != created_at:
            self.clear_cache()
        self._created_at[study_id] = created_at

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, in which this thread's calls of `self.optuna` take part.

        Optuna's commits commit nothing of their own. Its rollbacks undo the whole transaction.

        Raises:
            ReadOnlyError: the database is a file that this process cannot write to.
        """
        self.check_writable()
        with self.engine.connect() as connection, connection.begin() as transaction:
            self.backend.begin_write(connection)
            with optuna_tables.joined(self._rdb, connection):
                try:
                    yield connection
                    if not transaction.is_active:  # Optuna swallows some errors after a rollback
                        raise optuna.exceptions.StorageInternalError(ROLLED_BACK)
                except (
                    sa.exc.InvalidRequestError,
                    optuna.exceptions.StorageInternalError,
                ) as error:
                    if transaction.is_active or not _means_rolled_back(error):
                        raise
                    raise optuna.exceptions.StorageInternalError(ROLLED_BACK) from None
        self.outages.answered()

    @contextlib.contextmanager
    def unchanging(self) -> Iterator[Connection]:
        """A connection for reading rows that no worker can change within the block.

        They are locked in a transaction. Of a read-only database they are read as of one moment.
        """
        if not self.is_read_only:
            with self.transaction() as connection:
                yield connection
            return
        with self.reading() as connection:
            self.backend.begin_snapshot(connection)
            yield connection

    def retry(
        self, action: Callable[[], T], *, timeout_s: float, wait: Callable[[float], object] = _pause
    ) -> T:
        """Call `action` again, with growing pauses, while the database refuses it; its result.

        `wait(seconds)` waits between two calls. An error that it raises ends the waiting.

        Raises:
            UnreachableError: the error is lasting, or the database still did not answer
                after `timeout_s`.
        """

        def translated_action() -> T:
            with self.errors_translated():
                return action()

        return self.outages.wait_out(translated_action, timeout_s=timeout_s, wait=wait)

    def close(self) -> None:
        """Close all connections."""
        optuna_tables.close_session(self._rdb)
        self.engine.dispose()


def _means_rolled_back(error: BaseException) -> bool:
    """Whether the error only says that the transaction has ended, and not why."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    return cause is None or isinstance(cause, sa.exc.InvalidRequestError)


def _make_engine(url: URL, backend: Backend) -> sa.Engine:
    """An engine without a pool, so that closing a connection frees the schema lock."""
    try:
        engine = sa.create_engine(url, **backend.engine_options(url) | {"poolclass": sa.NullPool})
    except (sa.exc.ArgumentError, TypeError, ValueError) as error:
        raise unusable_url(error, *passwords_of(url)) from error
    except ModuleNotFoundError as error:
        raise StorageError(
            f"the package {error.name} is missing; install it with: pip install "
            f"'.[{backend.extra}]' in your copy of hpo's repository"
        ) from error
    sa.event.listen(engine, "do_connect", _connect)
    return engine


def _connect(
    dialect: sa.Dialect, record: object, arguments: list[Any], options: dict[str, Any]
) -> Any:
    """Connect as SQLAlchemy does; report what the driver cannot use in one line."""
    with driver_errors(dialect, options):
        return dialect.connect(*arguments, **options)


def _optuna_storage(url: URL, backend: Backend) -> optuna.storages.RDBStorage:
    """Optuna's storage; `storage.schema` has made its tables before."""
    pool = {"pool_size": 1, "max_overflow": 9}  # one open connection, as servers limit their number
    options = backend.engine_options(url)
    storage = optuna_tables.open_storage(url, options if "poolclass" in options else options | pool)
    backend.prepare_engine(storage.engine)
    return storage
