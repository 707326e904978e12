"""The limits at which a worker exits."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits at which a worker exits. A worker also exits when no work is left.

    max_trials: trials after which a worker claims no new work; None for no limit.
    timeout_s: seconds after which no new work is claimed; None for no limit.
    wait: whether the worker waits for new work instead of exiting when no work is left.
    storage_timeout_s: seconds without an answer of the database before the worker exits with an
        error.
    max_failures: failed trials in a row before the worker exits with an error. After as many
        crashes in a row, a worker process is not started again.
    """

    max_trials: int | None = None
    timeout_s: float | None = None
    wait: bool = False
    storage_timeout_s: float = 300.0
    max_failures: int = 10
