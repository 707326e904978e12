"""A PostgreSQL server whose processes are stopped: it keeps connections and answers nothing."""

import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from tests.support.servers import Server


def asked(server: Server, *statements: str) -> list[Any]:
    """What the server answers to the last of the statements, each a transaction of its own."""
    own = sa.create_engine(server.url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with own.connect() as connection:
        *_, answer = [connection.execute(sa.text(each)) for each in statements]
        return list(answer.scalars()) if answer.returns_rows else []


def clients(server: Server) -> list[int]:
    """The server's processes that serve others than us."""
    found = "SELECT pid FROM pg_stat_activity WHERE datname IS NOT NULL AND pid <> pg_backend_pid()"
    return asked(server, found)


@contextlib.contextmanager
def standing_still(*processes: int) -> Iterator[None]:
    """They take what comes in and say nothing, as a frozen machine does."""
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)


def front(server: Server) -> int:
    """The process of a server that lets clients in."""
    return int(server.pid_file.read_text().split()[0])
