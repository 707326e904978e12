"""Waiting for a database that does not answer: with growing pauses, up to a time limit.

A call is repeated after an error that may pass: a restart, a cut connection, a full disk, a lock.
It is not repeated after an error that will come again: a missing table, a broken constraint. An
outage is logged once.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import optuna
import sqlalchemy as sa

from storage.backends import BACKENDS
from storage.errors import UnreachableError


T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
"""Seconds before the first repetition, and the limit up to which the pauses double."""

LOGGED_AFTER_S = 1.0
"""Seconds of refusals before an outage is logged. A deadlock, for example, ends sooner."""

LONGEST_SILENCE_S = 2.0
"""Maximum seconds between two answers that never count as a silence.

Idle workers ask more often.
"""

_log = logging.getLogger("hpo.storage")
_passing = (
    sa.exc.OperationalError,
    sa.exc.InternalError,
    sa.exc.InterfaceError,
)


class Outages:
    """The outages of a database as one process has met them. Thread-safe.

    A refusal is a call that failed for a reason that may pass. The refusals of each thread are
    tracked apart: with a full disk, heartbeats may be answered while results are refused.

    Times are those of `time.monotonic`.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refused_since: dict[int, float] = {}  # by thread; only threads that still ask
        self._began_at = self._refused_at = 0.0
        self._answered_at: float | None = None
        self._is_logged = False
        self._silences: list[tuple[float, float]] = []  # the end and length of each

    def refused(self, error: UnreachableError, asked_at: float) -> None:
        """Record that the database refused a call of this thread; the call began at `asked_at`."""
        _log.debug("%s", error, extra={"event": "storage_error"})
        with self._lock:
            self._refused_at = time.monotonic()
            if self._answered_at is None:
                self._answered_at = asked_at
            # An outage before another thread's last answer may be over already.
            began_at = max(asked_at, self._answered_at)
            if not self._refused_since:
                self._began_at = began_at
            began_at = self._refused_since.setdefault(threading.get_ident(), began_at)
            if self._is_logged or time.monotonic() - began_at < LOGGED_AFTER_S:
                return
            self._is_logged = True
        _log.warning("%s; waiting for it", error, extra={"event": "storage_away"})

    def answered(self) -> None:
        """Record that the database has just answered a call of this thread."""
        with self._lock:
            now = time.monotonic()
            recent = [(end, length) for end, length in self._silences if now - end < length]
            latest = [] if self._answered_at is None else [(now, now - self._answered_at)]
            self._silences = recent + latest
            self._answered_at = now
        self.stopped_asking()

    def stopped_asking(self) -> None:
        """Record that this thread no longer repeats a refused call.

        The outage is over if no other thread repeats one and the last refusal was before the last
        answer.
        """
        with self._lock:
            was_refused = self._refused_since.pop(threading.get_ident(), None) is not None
            if not was_refused or self._refused_since:
                return
            was_logged, self._is_logged = self._is_logged, False
            answered_at, began_at = self._answered_at or 0.0, self._began_at
            is_back = answered_at > self._refused_at
        if was_logged and is_back:
            facts = {"event": "storage_back", "facts": {"away_s": round(answered_at - began_at, 1)}}
            _log.warning("the database answers again", extra=facts)

    def leases_are_trusted(self, lease_s: float) -> bool:
        """Whether an expired lease of length `lease_s` means that its worker is dead.

        A silence is an outage, or a time in which this process asked nothing. In a silence the
        lease of a living worker can run out. After a silence, expired leases are therefore not
        trusted for a third of a lease. In this time living workers renew their leases.
        """
        with self._lock:
            now = time.monotonic()
            silences = list(self._silences)
            if self._answered_at is not None:  # the present call may be the first one answered
                silences.append((now, now - self._answered_at))
        least_s = max(lease_s / 2, LONGEST_SILENCE_S)
        return all(now - end > lease_s / 3 for end, length in silences if length > least_s)

    def wait_out(
        self, action: Callable[[], T], *, timeout_s: float, wait: Callable[[float], object]
    ) -> T:
        """Call `action` again while it raises an UnreachableError that may pass; its result.

        `wait(seconds)` waits between two calls. An error that it raises ends the waiting.

        Raises:
            UnreachableError: the error is lasting, or the database still did not answer
                after `timeout_s`.
        """
        started, pause_s = time.monotonic(), FIRST_PAUSE_S
        while True:
            asked_at = time.monotonic()
            try:
                result = action()
            except UnreachableError as error:
                if not is_passing(error.__cause__):
                    raise
                self.refused(error, asked_at)
                if time.monotonic() >= started + timeout_s:
                    raise
            else:
                self.answered()
                return result
            wait(random.uniform(0.5, 1.0) * pause_s)  # so that a fleet does not come back at once
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def is_passing(error: BaseException | None) -> bool:
    """Whether the call that raised this error may succeed later."""
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return error.__cause__ is None or is_passing(error.__cause__)
    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, (sa.exc.PendingRollbackError, sa.exc.TimeoutError))
    refusal = error.orig
    if refusal is not None and any(backend.is_lasting(refusal) for backend in BACKENDS):
        return False
    is_cut = refusal is not None and any(backend.is_cut_connection(refusal) for backend in BACKENDS)
    return is_cut or error.connection_invalidated or isinstance(error, _passing)
