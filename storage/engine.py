"""One database, opened: the engine of its backend and the one kind of transaction.

Optuna's storage writes take part in our transactions, so that what belongs together in both sets
of tables is one commit (`Database.transaction`).
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import optuna
import sqlalchemy as sa
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import URL, Connection

from storage import schema
from storage.errors import StorageError, UnreachableError
from storage.retry import Outages
from storage.urls import check_file, parse_url


T = TypeVar("T")

optuna.logging.set_verbosity(optuna.logging.WARNING)  # it tells of every study that is made
for library in ("optuna.storages", "psycopg", "sqlalchemy.pool"):  # refusals are ours to tell
    logging.getLogger(library).setLevel(logging.CRITICAL)

PATIENCE = "hpo_patience"
"""SQLAlchemy loads `storage.backends.patience` by this name, where PostgreSQL is used."""

plugins.register(PATIENCE, "storage.backends.patience", "Patience")

EXTRAS = {"postgresql+psycopg": "postgres", "mysql+pymysql": "mysql"}

IDLE_TIMEOUT_S = 10
"""A worker stopped in the middle of a transaction gives its locks back after this long."""

BUSY_TIMEOUT_S = 5
"""So long SQLite waits for another's lock by itself, deaf to signals; then we try again."""

SILENCE_S = 30
"""A server that has left the network without a word is taken for gone after about this long."""

ANSWER_S = 2 * SILENCE_S
"""So long a server that is there, but stands still, may leave a statement without an answer.

It is more than any statement of ours takes, and than the server waits for a lock before it says so.
"""

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
        self.url = parse_url(url)
        self.name = self.url.set(query={}).render_as_string(hide_password=True)
        check_file(self.url, create=create)
        self.engine = _make_engine(self.url)

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
            self._rdb = _optuna_storage(self.url)
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
        sessions = self._rdb.scoped_session
        with self.engine.connect() as connection, connection.begin() as whole:
            if self.engine.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            sessions.remove()
            sessions(bind=connection, join_transaction_mode="rollback_only")
            try:
                yield connection
                if not whole.is_active:  # Optuna swallows some errors after it has rolled back
                    raise optuna.exceptions.StorageInternalError(ROLLED_BACK)
            except (sa.exc.InvalidRequestError, optuna.exceptions.StorageInternalError) as error:
                if whole.is_active or not _is_aftermath(error):
                    raise
                raise optuna.exceptions.StorageInternalError(ROLLED_BACK) from None
            finally:
                sessions.remove()
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
        self._rdb.scoped_session.remove()
        self.engine.dispose()


def _is_aftermath(error: BaseException) -> bool:
    """Whether it says no more than that the transaction had ended before, for whatever reason."""
    cause = error.__cause__ if isinstance(error, optuna.exceptions.StorageInternalError) else error
    return cause is None or isinstance(cause, sa.exc.InvalidRequestError)


def _make_engine(url: URL) -> sa.Engine:
    """An engine for `storage.schema`: unpooled, so that a closed connection ends its locks."""
    try:
        return sa.create_engine(url, poolclass=sa.NullPool, **_engine_options(url))
    except ModuleNotFoundError as error:
        extra = EXTRAS[url.drivername]
        raise StorageError(
            f"the package {error.name} is missing; install it with: pip install 'hpo[{extra}]'"
        ) from error


def _engine_options(url: URL) -> dict[str, Any]:
    """What each backend needs for claims and leases to be right."""
    if url.drivername == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    options: dict[str, Any] = {"pool_pre_ping": True, "isolation_level": "READ COMMITTED"}
    if url.drivername.startswith("postgresql"):
        own = url.query.get("options", "")
        idle = f"{own} -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S * 1000}"
        locked = f"{idle} -c lock_timeout={schema.LOCK_TIMEOUT_S * 1000}"  # it answers before we go
        patience = {"plugins": [PATIENCE], "patience_s": ANSWER_S}
        alive = {
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": SILENCE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
        }
        arguments = {"options": locked, "connect_timeout": 10, **alive}
        return {**options, **patience, "connect_args": arguments}
    # MariaDB alone knows the timeout; to MySQL the second half is a comment.
    idle = f"SET @hpo = 1 /*M!100300 , SESSION idle_transaction_timeout = {IDLE_TIMEOUT_S} */"
    patience = {"read_timeout": ANSWER_S, "write_timeout": SILENCE_S}
    return {**options, "connect_args": {"init_command": idle, "connect_timeout": 10, **patience}}


def _optuna_storage(url: URL) -> optuna.storages.RDBStorage:
    """Optuna's storage; its tables are there already, made under the schema's lock."""
    text = url.render_as_string(hide_password=False)
    braces_kept = text.replace("{", "{{").replace("}", "}}")  # Optuna formats the URL
    pool = {"pool_size": 1, "max_overflow": 9}  # a worker keeps one open: servers count them
    storage = optuna.storages.RDBStorage(
        braces_kept, engine_kwargs=_engine_options(url) | pool, skip_table_creation=True
    )
    if storage.engine.name == "sqlite":
        sa.event.listen(storage.engine, "connect", _tune_sqlite)
        storage.engine.dispose()
    return storage


def _tune_sqlite(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
