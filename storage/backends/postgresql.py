"""PostgreSQL, by psycopg 3."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import plugins
from sqlalchemy.engine import URL, Dialect

from storage.backends.base import (
    ANSWER_S,
    IDLE_TIMEOUT_S,
    SCHEMA_LOCK,
    SILENCE_S,
    Backend,
)
from storage.errors import StorageURLError


ANSWER_TIMEOUT = "hpo_answer_timeout"
"""The name under which SQLAlchemy loads `storage.backends.answer_timeout.AnswerTimeout`.

The module is loaded by name because it imports psycopg, an optional dependency.
"""

plugins.register(ANSWER_TIMEOUT, "storage.backends.answer_timeout", "AnswerTimeout")

_PROGRAM_OPTIONS = (
    "autocommit",
    "conninfo",
    "context",
    "cursor_factory",
    "prepare_threshold",
    "row_factory",
)
"""Options of psycopg's `connect` that are no options of the server, and no text."""

_REFUSED_LOGIN = re.compile("(?:FATAL: +|fe_sendauth: )(.*)")
"""The reason of a refused login. psycopg has no error code, only a line of text per try."""

_LASTING_REFUSAL = re.compile(
    "password authentication failed for user|no password supplied|Peer authentication failed"
    r'|role ".*" does not exist|role ".*" is not permitted to log in|database ".*" does not exist'
    r"|permission denied for database|no pg_hba\.conf entry for|pg_hba\.conf rejects connection"
)
"""Reasons of a refused login that another try would not change.

Only English messages match. With messages in another language, the login is tried again.
"""

_INTERRUPTED = "connection in transaction status"
"""Part of psycopg's message if a connection was cut within a statement.

SQLAlchemy does not recognize it as a lost connection.
"""


class PostgreSQL(Backend):
    """A PostgreSQL server."""

    schemes = ("postgresql", "postgres")
    driver = "postgresql+psycopg"
    extra = "postgres"
    clock = "extract(epoch from clock_timestamp())::float8"

    def check_url(self, url: URL) -> None:
        if wrong := [name for name in _PROGRAM_OPTIONS if name in url.query]:
            raise StorageURLError(
                f"the storage URL has an option that only programs set: {wrong[0]}; leave it out"
            )

    def engine_options(self, url: URL) -> dict[str, Any]:
        settings = [
            str(url.query.get("options", "")),
            f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_S * 1000}",
            # Shorter than the answer timeout: waiting for a lock is no sign of a lost connection.
            f"-c lock_timeout={self.schema_lock_timeout_s * 1000}",
        ]
        keep_alive = {
            "keepalives_idle": SILENCE_S // 2,
            "keepalives_interval": SILENCE_S // 6,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENCE_S * 1000,
        }
        connect = {"options": " ".join(settings), "connect_timeout": 10, **keep_alive}
        answer_timeout = {"plugins": [ANSWER_TIMEOUT], "answer_timeout_s": ANSWER_S}
        return {**super().engine_options(url), **answer_timeout, "connect_args": connect}

    @contextlib.contextmanager
    def schema_lock(self, engine: sa.Engine) -> Iterator[None]:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            lock = sa.text("SELECT pg_advisory_lock(hashtext(:name))")
            connection.execute(lock, {"name": SCHEMA_LOCK})  # `lock_timeout` limits the wait
            yield  # closing the connection frees the lock

    def is_lasting(self, refusal: BaseException) -> bool:
        """Whether the server refused the login for a reason that another try would not change."""
        text = refusal.args[0] if refusal.args else None
        reasons = _REFUSED_LOGIN.findall(text) if isinstance(text, str) else []
        return bool(reasons) and all(map(_LASTING_REFUSAL.match, reasons))

    def is_cut_connection(self, refusal: BaseException) -> bool:
        return _INTERRUPTED in str(refusal)

    def server_name(self, dialect: Dialect) -> str:
        return "PostgreSQL"
