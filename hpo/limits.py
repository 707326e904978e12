"""When a worker leaves: by its limits, or because a signal asked it to."""

from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from hpo.errors import StoppedError


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


def count_cores() -> int:
    """The cores that this process may use: a container or a batch system may allow fewer."""
    from joblib import cpu_count  # comes with scikit-learn

    return int(cpu_count())


class Stop:
    """Whether this process was asked to stop, and by which signal (0 for none)."""

    def __init__(self) -> None:
        # Not an Event: its lock may be held by the very thread that a signal handler interrupts.
        self._asked: SimpleQueue[None] = SimpleQueue()
        self.signal_number = 0
        self.is_urgent = False

    def ask(self, signal_number: int) -> None:
        """Ask to stop; asked twice it is urgent. Safe in a signal handler."""
        self.is_urgent = self.signal_number != 0
        self.signal_number = signal_number
        self._asked.put(None)

    def check(self) -> None:
        """Leave if asked to.

        Raises:
            StoppedError: it was.
        """
        if self.signal_number:
            raise StoppedError(self.signal_number)

    def wait(self, seconds: float) -> None:
        """Wait that long; leave as soon as asked to.

        Raises:
            StoppedError: it was.
        """
        self.check()
        with suppress(Empty):
            self._asked.get(timeout=seconds)
        self.check()
