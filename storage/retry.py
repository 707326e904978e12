"""Waiting for a database that is away: with growing pauses, said once, up to a limit.

A restart, a cut connection, a full disk, a lock: what may pass is tried again; what will not (a
missing table, a broken rule) is not.
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

UNTOLD_S = 1.0
"""A refusal that passes sooner, as a deadlock does, is not worth a word."""

UNASKED_S = 2.0
"""A worker that has nothing to do asks more often than this."""

_log = logging.getLogger("hpo.storage")
_passing = (
    sa.exc.OperationalError,
    sa.exc.InternalError,
    sa.exc.InterfaceError,
)


class Outages:
    """What one process knows of the times at which a database did not answer it. Thread-safe.

    Each thread's refusals are a story of their own: with a full disk heartbeats may be answered
    while results are refused.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}  # by thread: when it asked for what it first was refused
        self._began_at = self._refused_at = 0.0
        self._answered_at: float | None = None
        self._is_told = False
        self._silences: list[tuple[float, float]] = []  # when each ended, and how long it was

    def refused(self, error: UnreachableError, asked_at: float) -> None:
        """The database has refused this thread an action for a reason that may pass.

        It was asked at `asked_at`, by the clock that never goes back.
        """
        _log.debug("%s", error, extra={"event": "storage_error"})
        with self._lock:
            self._refused_at = time.monotonic()
            if self._answered_at is None:
                self._answered_at = asked_at
            # What was asked before another thread's last answer may be over already.
            began_at = max(asked_at, self._answered_at)
            if not self._since:
                self._began_at = began_at
            began_at = self._since.setdefault(threading.get_ident(), began_at)
            if self._is_told or time.monotonic() - began_at < UNTOLD_S:
                return
            self._is_told = True
        _log.warning("%s; waiting for it", error, extra={"event": "storage_away"})

    def answered(self) -> None:
        """The database has just done what this thread asked for: committed, or been read."""
        with self._lock:
            now = time.monotonic()
            recent = [(end, length) for end, length in self._silences if now - end < length]
            latest = [] if self._answered_at is None else [(now, now - self._answered_at)]
            self._silences = recent + latest
            self._answered_at = now
        self.withdrawn()

    def withdrawn(self) -> None:
        """This thread waits no more; where none does, and one was answered since, it is over."""
        with self._lock:
            was_refused = self._since.pop(threading.get_ident(), None) is not None
            if not was_refused or self._since:  # another thread still waits
                return
            was_told, self._is_told = self._is_told, False
            answered_at, began_at = self._answered_at or 0.0, self._began_at
            is_back = answered_at > self._refused_at
        if was_told and is_back:
            facts = {"event": "storage_back", "facts": {"away_s": round(answered_at - began_at, 1)}}
            _log.warning("the database answers again", extra=facts)

    def are_over(self, lease_s: float) -> bool:
        """Whether the leases that others hold can be taken at their word.

        After a silence in which leases may have run out, be it that the database was away or that
        this process did not ask, their holders get a heartbeat's time to renew them: nobody's work
        is taken over for the database's own fault. Who asks is being answered for the first time
        after the silence, maybe.
        """
        with self._lock:
            now = time.monotonic()
            silences = list(self._silences)
            if self._answered_at is not None:
                silences.append((now, now - self._answered_at))
        least_s = max(lease_s / 2, UNASKED_S)
        return all(now - end > lease_s / 3 for end, length in silences if length > least_s)

    def wait_out(
        self, action: Callable[[], T], *, timeout_s: float, wait: Callable[[float], object]
    ) -> T:
        """Do `action` again while it raises an UnreachableError that may pass.

        `wait(seconds)` waits between two tries; what it raises ends the waiting.

        Raises:
            UnreachableError: the database was still away after `timeout_s`.
        """
        begun, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            asked_at = time.monotonic()
            try:
                done = action()
            except UnreachableError as error:
                if not is_passing(error.__cause__):
                    raise
                self.refused(error, asked_at)
                if time.monotonic() >= begun + timeout_s:
                    raise
            else:
                self.answered()
                return done
            wait(random.uniform(0.5, 1.0) * pause)  # a fleet must not come back all at once
            pause = min(2 * pause, LONGEST_PAUSE_S)


def is_passing(error: BaseException | None) -> bool:
    """Whether the same call may succeed later: a lost connection, a lock, a server's restart."""
    if isinstance(error, optuna.exceptions.StorageInternalError):
        return error.__cause__ is None or is_passing(error.__cause__)
    if not isinstance(error, sa.exc.DBAPIError):
        return isinstance(error, (sa.exc.PendingRollbackError, sa.exc.TimeoutError))
    refusal = error.orig
    if refusal is not None and any(backend.is_lasting(refusal) for backend in BACKENDS):
        return False
    is_cut = refusal is not None and any(backend.is_cut_connection(refusal) for backend in BACKENDS)
    return is_cut or error.connection_invalidated or isinstance(error, _passing)
