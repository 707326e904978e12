"""One database, opened: the engine of its backend and the one kind of transaction.

Optuna's storage writes take part in our transactions, so that what belongs together in both sets
of tables is one commit (`Database.transaction`).
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection

from storage import optuna_tables, schema
from storage.backends import Backend, parse_url
from storage.errors import StorageError, UnreachableError
from storage.retry import Outages


T = TypeVar("T")

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that is made
for library in ("optuna.storages", "psycopg", "sqlalchemy.pool"):  # refusals are ours to tell
    logging.getLogger(library).setLevel(logging.CRITICAL)

ROLLED_BACK = "the transaction was rolled back by Optuna"

REFUSALS = (
    sa.exc.DBAPIError,
    sa.exc.PendingRollbackError,
    sa.exc.TimeoutError,
    optuna.exceptions.StorageInternalError,
)


def _pause(duration_s: float) -> None:
    threading.Event().wait(duration_s)


class Unopened:
    """A database by its URL; which tables it holds, of which version, is not asked.

    `name` is its URL without a password.
    """

    def __init__(self, url: str, *, create: bool = False) -> None:
        """Look at the URL; with `create` an SQLite file need not be there yet.

        Raises:
            StorageURLError: the URL cannot be read, or names an unknown kind of database.
            EmptyStorageError: there is no such file and `create` is not set.
        """
        self.url, self.backend = parse_url(url)
        self.name = self.url.set(query={}).render_as_string(hide_password=True)
        self.backend.check_file(self.url, create=create)
        self.engine = _make_engine(self.url, self.backend)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection for reading only."""
        with self.errors_translated(), self.engine.connect() as connection:
            yield connection

    def ping(self) -> None:
        """See whether the database answers.

        Raises:
            UnreachableError: it does not.
        """
        with self.reading() as connection:
            connection.execute(sa.select(1))

    @contextlib.contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Give a database's refusal as one line, with no password in it."""
        try:
            yield
        except REFUSALS as error:
            raise UnreachableError(
                f"cannot use the database {self.name}: {self._reason(error)}; check that it runs "
                "and that --storage (or HPO_STORAGE) is right"
            ) from error

    def _reason(self, error: BaseException) -> str:
        """The driver's own words, on one line and without the password."""
        if error.__cause__ is not None and not isinstance(error, sa.exc.DBAPIError):
            error = error.__cause__
        words = " ".join(str(getattr(error, "orig", None) or error).split())
        password = self.url.password
        return words.replace(str(password), "***") if password else words


class Database(Unopened):
    """An open database with Optuna's tables and ours.

    `optuna` is Optuna's storage (with its cache) on the same engine; `outages` knows when the
    database did not answer. Thread-safe: each thread has a connection and an Optuna session of its
    own.
    """

    def __init__(self, url: str, *, create: bool = False, outages: Outages | None = None) -> None:
        """Open the database at `url`; with `create` make the tables where there are none.

        What was met of `outages` before it could be opened is remembered.

        Raises:
            StorageURLError: the URL cannot be read, or names an unknown kind of database.
            EmptyStorageError: there are no tables yet and `create` is not set.
            OutdatedError: the tables are not those of this program.
            UnreachableError: the database does not answer.
        """
        super().__init__(url, create=create)
        self.outages = outages or Outages()
        with self.errors_translated():
            schema.prepare(self.engine, self.name, create=create)
            self._rdb = _optuna_storage(self.url, self.backend)
        self.engine = self._rdb.engine
        self.forget()

    @classmethod
    def when_it_answers(
        cls,
        url: str,
        *,
        create: bool = False,
        timeout_s: float,
        wait: Callable[[float], object] = _pause,
    ) -> "Database":
        """Open the database, waiting for it as `retry` does.

        Raises:
            StorageError: it cannot be opened, or was still away after `timeout_s`.
        """
        outages = Outages()

        def open_it() -> Database:
            return cls(url, create=create, outages=outages)

        return outages.wait_out(open_it, timeout_s=timeout_s, wait=wait)

    def forget(self) -> None:
        """Drop what Optuna's storage has cached: a study may have been deleted and made anew."""
        self.optuna = optuna.storages.get_storage(self._rdb)
        self._met: dict[int, float] = {}

    def meet(self, study_id: int, created_at: float) -> None:
        """Note a study that was read; where its number was another's, what is cached is dropped."""
        if self._met.get(study_id, created_at) != created_at:
            self.forget()
        self._met[study_id] = created_at

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """One transaction, in which calls of `self.optuna` by this thread take part.

        Their commits commit nothing of their own, their rollbacks undo all.
        """
        with self.engine.connect() as connection, connection.begin() as whole:
            self.backend.begin_write(connection)
            with optuna_tables.joined(self._rdb, connection):
                try:
                    yield connection
                    if not whole.is_active:  # Optuna swallows some errors after a rollback
                        raise optuna.exceptions.StorageInternalError(ROLLED_BACK)
                except (
                    sa.exc.InvalidRequestError,
                    optuna.exceptions.StorageInternalError,
                ) as error:
                    if whole.is_active or not _is_aftermath(error):
                        raise
                    raise optuna.exceptions.StorageInternalError(ROLLED_BACK) from None
        self.outages.answered()

    def retry(
        self, action: Callable[[], T], *, timeout_s: float, wait: Callable[[float], object] = _pause
    ) -> T:
        """Do `action` again, with growing pauses, while the database is away or the lock is lost.

        `wait(seconds)` waits between two tries; what it raises ends the waiting.

        Raises:
            UnreachableError: it was still away after `timeout_s`.
        """

        def act() -> T:
            with self.errors_translated():
                return action()

        return self.outages.wait_out(act, timeout_s=timeout_s, wait=wait)

    def close(self) -> None:
        """Give all connections back."""
        optuna_tables.forget_session(self._rdb)
        self.engine.dispose()


def _is_aftermath(error: BaseException) -> bool:
    """Whether it says no more than that the transaction had ended before, for whatever reason."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    return cause is None or isinstance(cause, sa.exc.InvalidRequestError)


def _make_engine(url: URL, backend: Backend) -> sa.Engine:
    """An engine without a pool, for `storage.schema`: a closed connection ends its locks."""
    try:
        return sa.create_engine(url, poolclass=sa.NullPool, **backend.engine_options(url))
    except ModuleNotFoundError as error:
        raise StorageError(
            f"the package {error.name} is missing; install it with: "
            f"pip install 'hpo[{backend.extra}]'"
        ) from error


def _optuna_storage(url: URL, backend: Backend) -> optuna.storages.RDBStorage:
    """Optuna's storage; its tables are there already, made under the schema's lock."""
    pool = {"pool_size": 1, "max_overflow": 9}  # servers count the open connections of a worker
    storage = optuna_tables.open_storage(url, backend.engine_options(url) | pool)
    backend.prepare_engine(storage.engine)
    return storage
