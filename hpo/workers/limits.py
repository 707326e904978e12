"""When a worker leaves: by its limits, or because a signal asked it to."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When a worker leaves by itself, besides having nothing to do.

    After `max_trials` trials or `timeout_s` seconds no new work is claimed. With `wait` it stays
    for new work. A database that is away for `storage_timeout_s` ends it, and so do `max_failures`
    failed trials in a row; one that has died so often in a row is not started again. Without
    `foreign_code` it does no study of a network or data set that is not hpo's own.
    """

    max_trials: int | None = None
    timeout_s: float | None = None
    wait: bool = False
    storage_timeout_s: float = 300.0
    max_failures: int = 10
    foreign_code: bool = True
