"""A PostgreSQL connection with a limit on the time that the server may take to answer.

The driver psycopg has no such limit, and the connection of a server that stands still (a frozen
machine, a proxy whose server is gone) stays open. But while it waits for an answer, psycopg (from
3.2.13 on) wakes up every tenth of a second, and this connection checks the time then.

SQLAlchemy loads this module as an engine plugin, because importing it needs psycopg. As a plugin it
also works from the first connection of an engine that Optuna makes.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from psycopg.waiting import Wait
from sqlalchemy.engine import URL, CreateEnginePlugin, Engine

from storage.backends.base import driver_errors


T = TypeVar("T")


class NoAnswerError(psycopg.OperationalError):
    """The server has not answered within the time limit."""


class TimedConnection(psycopg.Connection[Any]):
    """A connection that closes itself if an answer takes longer than `answer_timeout_s`."""

    answer_timeout_s = float("inf")

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Run psycopg's generator `gen`, which receives the answer, to its end.

        Raises:
            NoAnswerError: the server did not answer in time; the connection is closed.
        """
        try:
            return super().wait(_limited(gen, self.answer_timeout_s), *args, **kwargs)
        except NoAnswerError:
            self.close()
            raise


def _limited(gen: PQGen[T], timeout_s: float) -> Generator[Wait, int, T]:
    """psycopg's generator `gen`, with an error when the connection is idle for `timeout_s`.

    psycopg resumes a generator with what the connection is ready for. It also resumes the generator
    every tenth of a second with 0, which means that nothing has happened.

    Raises:
        NoAnswerError: the connection was idle for `timeout_s`.
    """
    try:
        wanted, active_at = next(gen), time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                active_at = time.monotonic()
            elif time.monotonic() - active_at > timeout_s:
                raise NoAnswerError(f"the server has not answered for {timeout_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: T = end.value
        return answer


class AnswerTimeout(CreateEnginePlugin):
    """A plugin of SQLAlchemy's engine that limits the wait for an answer of the server.

    The limit is the argument `answer_timeout_s` of `sqlalchemy.create_engine`, in seconds.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._timeout_s: float = kwargs.pop("answer_timeout_s")

    def update_url(self, url: URL) -> URL:
        """Return the URL unchanged: the option is not in it."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Make the engine open timed connections."""
        sa.event.listen(engine, "do_connect", self._connect)

    def _connect(
        self, dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]
    ) -> TimedConnection:
        with driver_errors(dialect, options):
            connection = TimedConnection.connect(*arguments, **options)
        connection.answer_timeout_s = self._timeout_s
        return connection
