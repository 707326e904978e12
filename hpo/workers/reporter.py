"""Writing the progress of claimed work to the database.

Progress is written at once where a pruner judges it, otherwise at most every `PROGRESS_S` seconds.
Errors that are not written yet go in with the next write or with the result, so none is lost.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from storage import leases
from storage.engine import Database
from storage.leases import Claim


PROGRESS_S = 1.0
"""Minimum seconds between two progress writes. A step that a pruner judges is written at once."""

T = TypeVar("T")

Retry = Callable[[Callable[[], T]], T]
"""Calls a function that uses the database; repeats the call while the database does not answer."""


class Reporter:
    """Writes the epochs done and the errors of one claim to the database.

    `n_epochs` is the number of epochs done. For a trial it is the mean over the folds.
    `unreported` holds the validation errors, by step, that are not in the database yet.
    """

    def __init__(self, db: Database, claim: Claim, retry: Retry[Any]) -> None:
        self._db, self._claim, self._retry = db, claim, retry
        self._written_at = time.monotonic()
        self.n_epochs = 0
        self.unreported: dict[int, float] = {}

    def advance(self, n_epochs: int, errors: Mapping[int, float] | None = None) -> None:
        """Store progress and new errors; write both if the last write is over `PROGRESS_S` ago."""
        self.n_epochs = n_epochs
        self.unreported |= errors or {}
        if time.monotonic() - self._written_at > PROGRESS_S:
            self.write()

    def write(self, judge: Callable[[], bool] | None = None) -> bool:
        """Write the progress now and call `judge` in the same transaction; return its answer.

        Without `judge` the answer is False.
        """

        def report() -> bool:
            n_epochs, errors = self.n_epochs, self.unreported
            return leases.report(
                self._db, self._claim, n_epochs=n_epochs, errors=errors, judge=judge
            )

        is_pruned: bool = self._retry(report)
        self.unreported = {}
        self._written_at = time.monotonic()
        return is_pruned
