"""What happens to a database while workers use it."""

import random
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tests.chaos.fleet import Member
from tests.chaos.study import Study
from tests.support.servers import Server


CONNECTIONS = {
    "postgresql": """\
SELECT pid, xact_start IS NOT NULL AS is_busy FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()""",
    "mysql": """\
SELECT id AS pid, trx_id IS NOT NULL AS is_busy FROM information_schema.processlist
LEFT JOIN information_schema.innodb_trx ON trx_mysql_thread_id = id
WHERE db = database() AND id <> connection_id()""",
}
"""All connections of others to this database, and whether each is in a transaction."""

CUT = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


@dataclass
class Cutter:
    """Cuts connections of a study's workers; counts those that were in a transaction."""

    study: Study
    rng: random.Random
    n: int = 0
    n_in_transaction: int = 0

    def cut(self) -> None:
        """Cut one, in the middle of its transaction where one is in the middle of any."""
        kind = self.study.engine.dialect.name
        found = self.study.rows(CONNECTIONS[kind])
        if not found:
            return
        victim = self.rng.choice([row for row in found if row["is_busy"]] or found)
        with suppress(sa.exc.DBAPIError), self.study.engine.connect() as connection:
            connection.execute(
                sa.text(CUT[kind].format(int(victim["pid"])))
            )  # unless it went by itself
        self.n += 1
        self.n_in_transaction += bool(victim["is_busy"])


@contextmanager
def locked(study: Study) -> Iterator[None]:
    """Another program holds an exclusive lock on the SQLite file."""
    connection = sqlite3.connect(str(study.engine.url.database), timeout=60, isolation_level=None)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("COMMIT")
    finally:
        connection.close()


def stand_still(study: Study, member: Member) -> None:
    """Stop a worker, on SQLite outside its transactions, of which one would hold up all others."""
    member.signal(signal.SIGSTOP)
    while study.engine.dialect.name == "sqlite" and is_locked(study):
        member.signal(signal.SIGCONT)
        time.sleep(0.05)
        member.signal(signal.SIGSTOP)


def is_locked(study: Study) -> bool:
    """Whether somebody keeps the SQLite file's lock for long."""
    with closing(
        sqlite3.connect(str(study.engine.url.database), timeout=0.5, isolation_level=None)
    ) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        connection.execute("ROLLBACK")
        return False


@contextmanager
def away(study: Study, server: Server | None) -> Iterator[None]:
    """The database is away: its server is stopped, or the SQLite file is locked."""
    if server is None:
        with locked(study):
            yield
        return
    server.stop()
    try:
        yield
    finally:
        server.start()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of that size, such as 8m, in the folder.

    Raises:
        PermissionError: only root may mount one.
    """
    folder.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mounting, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, how: str) -> None:
    """Make the file system read-only (`ro`) or writable again (`rw`)."""
    subprocess.run(["mount", "-o", f"remount,{how}", str(folder)], check=True)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """No byte is left on the file system of the folder until the block ends."""
    ballast = folder / "ballast"
    block = bytes(1 << 12)
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(block)
    try:
        yield
    finally:
        ballast.unlink()
