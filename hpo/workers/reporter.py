"""What a worker says of work in hand: where a pruner can act, else now and then.

What is not said at once goes in with what is said next, or with the result: nothing is left out.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from storage import leases
from storage.engine import Database
from storage.leases import Claim


PROGRESS_S = 1.0
"""How far a piece of work is, is said at most this often where nobody waits for it."""

T = TypeVar("T")

Retry = Callable[[Callable[[], T]], T]
"""Does something on the database, again where it is away."""


class Reporter:
    """Tells the database how far one piece of work is, and the errors of a trial's steps.

    `n_epochs` are those done, on the average of a trial's folds; `unreported` are the errors, by
    step, that the database does not know yet.
    """

    def __init__(self, db: Database, claim: Claim, retry: Retry[Any]) -> None:
        self._db, self._claim, self._retry = db, claim, retry
        self._told_at = time.monotonic()
        self.n_epochs = 0
        self.unreported: dict[int, float] = {}

    def advance(self, n_epochs: int, errors: Mapping[int, float] | None = None) -> None:
        """The work is so far, with these new errors: said where nothing was for a while."""
        self.n_epochs = n_epochs
        self.unreported |= errors or {}
        if time.monotonic() - self._told_at > PROGRESS_S:
            self.write()

    def write(self, judge: Callable[[], bool] | None = None) -> bool:
        """Say it now; what `judge` finds once it is written, in the same transaction."""

        def report() -> bool:
            n_epochs, errors = self.n_epochs, self.unreported
            return leases.report(
                self._db, self._claim, n_epochs=n_epochs, errors=errors, judge=judge
            )

        found: bool = self._retry(report)
        self.unreported = {}
        self._told_at = time.monotonic()
        return found
