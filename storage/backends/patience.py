"""A PostgreSQL connection that does not wait for ever for a server that says nothing.

The driver (from 3.2.13 on; 3.2.8 did not) looks every tenth of a second whether an answer has come
and resumes what waits for it. It has no limit of its own, and a server that stands still (a frozen
machine, a proxy whose server is gone) keeps its connections alive. Importing this needs psycopg;
`storage.engine` names it to SQLAlchemy as an engine plugin, so that engines that others make of our
options have it from their first connection.
"""

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen
from psycopg.waiting import Wait
from sqlalchemy.engine import URL, CreateEnginePlugin, Engine


T = TypeVar("T")


class SilenceError(psycopg.OperationalError):
    """The server has not answered for so long that it is taken for gone."""


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server says nothing for `patience_s` while asked."""

    patience_s = float("inf")

    def wait(self, gen: PQGen[T], *args: Any, **kwargs: Any) -> T:
        """Wait for the answer, which `gen` takes in.

        Raises:
            SilenceError: there was none; the connection is closed.
        """
        try:
            return super().wait(_heard(gen, self.patience_s), *args, **kwargs)
        except SilenceError:
            self.close()
            raise


def _heard(gen: PQGen[T], patience_s: float) -> Generator[Wait, int, T]:
    """`gen` itself, which ends with an error when nothing moves on its connection for so long.

    Whoever resumes it says what the connection is ready for, or every now and then: for nothing.
    """
    try:
        wanted, moved_at = next(gen), time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > patience_s:
                raise SilenceError(f"the server has not answered for {patience_s:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        answer: T = end.value
        return answer


class Patience(CreateEnginePlugin):
    """Has an engine use such connections; takes their `patience_s` from the engine's options."""

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self._patience_s: float = kwargs.pop("patience_s")

    def update_url(self, url: URL) -> URL:
        """Leave it as it is: nothing in it is ours."""
        return url

    def engine_created(self, engine: Engine) -> None:
        """Make the engine's connections in place of its own."""
        sa.event.listen(engine, "do_connect", self._connect)

    def _connect(
        self, dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]
    ) -> PatientConnection:
        connection = PatientConnection.connect(*arguments, **options)
        connection.patience_s = self._patience_s
        return connection
