"""SQLite: one file, one machine."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from filelock import FileLock, Timeout
from sqlalchemy.engine import URL, Connection, Dialect

from storage.backends.base import SCHEMA_IS_BUSY, Backend
from storage.errors import (
    EmptyStorageError,
    StorageError,
    StorageURLError,
    UnreachableError,
)


BUSY_TIMEOUT_S = 5
"""Seconds that SQLite waits for a lock before a call fails.

Python handles no signal during the wait, so hpo waits only briefly and repeats the call.
"""


_TEXT = partial(str, encoding="utf-8", errors="replace")
"""Reads text that is no UTF-8, which only another program can write, instead of failing."""


class SQLite(Backend):
    """A database in a file, in write-ahead-log mode."""

    schemes = ("sqlite",)
    driver = "sqlite"
    clock = "((julianday('now') - 2440587.5) * 86400.0)"

    def check_url(self, url: URL) -> None:
        if url.host or url.username:
            path = "/".join(filter(None, (url.host, url.database)))
            raise StorageURLError(
                f"the storage URL has two slashes, after which a host would stand, and SQLite has "
                f"none; write three for a file in the working folder: sqlite:///{path}"
            )
        if url.database in (None, "", ":memory:"):
            raise StorageURLError(
                "workers cannot share a database in memory; write sqlite:///hpo.db"
            )
        if url.query:
            raise StorageURLError(
                "the storage URL has options, but SQLite takes none; remove the ? and the rest"
            )

    def check_file(self, url: URL, *, create: bool) -> None:
        path = Path(str(url.database))
        try:
            if path.is_dir():
                raise StorageURLError(f"{path} cannot be a database: it is a folder; name a file")
            if not path.parent.is_dir():
                reason = f"the folder {path.parent} does not exist; create it"
                raise StorageURLError(f"{path} cannot be a database: {reason}")
            if not create and not path.exists():
                raise EmptyStorageError(
                    f"no database at {path} yet; create one with: hpo study create"
                )
            if path.exists() and not os.access(path, os.R_OK):
                raise StorageError(f"{path} cannot be read: this user lacks the permission")
        except OSError as error:
            raise StorageURLError(f"{path} cannot be a database: {error.strerror}") from error

    def absolute(self, url: URL) -> URL:
        try:
            return url.set(database=str(Path(str(url.database)).absolute()))
        except FileNotFoundError as error:
            raise StorageURLError(
                f"{url.database} cannot be a database: the working folder was deleted; start hpo "
                "in another folder"
            ) from error

    def file(self, url: URL) -> Path | None:
        return Path(str(url.database))

    def is_read_only(self, url: URL) -> bool:
        """Whether the file exists, and it or its folder, where SQLite keeps its log, is read-only.

        SQLite writes the log even for reading.
        """
        path = Path(str(url.database))
        if not path.exists():
            return False
        places = (path, path.resolve().parent)
        return not all(os.access(place, os.W_OK) for place in places)

    def engine_options(self, url: URL) -> dict[str, Any]:
        if self.is_read_only(url):
            # No pool: another user may begin to write the file, so it is opened anew each time.
            opening = partial(_open_read_only, Path(str(url.database)))
            return {"creator": opening, "poolclass": sa.NullPool}
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}

    def prepare_engine(self, engine: sa.Engine) -> None:
        if not self.is_read_only(engine.url):
            sa.event.listen(engine, "connect", _tune)
            engine.dispose()

    def begin_write(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def begin_snapshot(self, connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")  # the driver begins none for reads

    @contextlib.contextmanager
    def schema_lock(self, engine: sa.Engine) -> Iterator[None]:
        path = f"{engine.url.database}.lock"
        lock = FileLock(path, timeout=self.schema_lock_timeout_s)
        try:
            lock.acquire()
        except Timeout:
            raise sa.exc.TimeoutError(SCHEMA_IS_BUSY) from None
        except OSError as error:
            raise UnreachableError(f"cannot write {path}: {error.strerror}") from error
        try:
            yield
        finally:
            lock.release()

    def is_lasting(self, refusal: BaseException) -> bool:
        """Whether the statement is wrong, for example because a table is missing."""
        code = getattr(refusal, "sqlite_errorcode", None)
        return isinstance(refusal, sqlite3.Error) and code == sqlite3.SQLITE_ERROR

    def server_name(self, dialect: Dialect) -> str:
        return "SQLite"

    def damage(self, connection: Connection) -> list[str] | None:
        lines = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return [] if lines == ["ok"] else [str(line) for line in lines]


def _open_read_only(path: Path) -> sqlite3.Connection:
    """Open a file that cannot be written, or whose folder cannot.

    A file that another user has open has a log (`-wal`) beside it. To read both, SQLite needs the
    log's index (`-shm`) and locks in it. Without a log the file does not change while it is read.
    """
    log, index = (Path(f"{path.resolve()}{ending}") for ending in ("-wal", "-shm"))
    has_log = log.exists() and (index.exists() or log.stat().st_size > 0)
    mode = "mode=ro" if has_log else "mode=ro&immutable=1"
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path.resolve()))}?{mode}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        check_same_thread=False,  # a pool may hand the connection to another thread
    )


def _tune(connection: Any, record: Any) -> None:
    connection.text_factory = _TEXT
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
