"""The limits at which a worker leaves."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits at which a worker leaves, besides having no work left.

    max_trials: trials of one worker, after which it claims no new work; None for no limit.
    timeout_s: seconds after which no new work is claimed; None for no limit.
    wait: whether the worker stays for new work.
    storage_timeout_s: seconds that the database may be away before the worker ends with an error.
    max_failures: failed trials in a row that end the worker with an error; also, crashes in a row
        after which a worker process is not started again.
    foreign_code: whether the worker does studies of a network or data set that is not hpo's own.
    """

    max_trials: int | None = None
    timeout_s: float | None = None
    wait: bool = False
    storage_timeout_s: float = 300.0
    max_failures: int = 10
    foreign_code: bool = True
