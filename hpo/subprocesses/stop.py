"""A request to stop: a signal handler makes it, the program's loops look for it."""

from contextlib import suppress
from queue import Empty, SimpleQueue

from hpo.errors import StoppedError


class Stop:
    """A request to stop this process. `signal_number` is the signal that made it, 0 for none."""

    def __init__(self) -> None:
        # Not an Event: its lock may be held by the very thread that a signal handler interrupts.
        self._requests: SimpleQueue[None] = SimpleQueue()
        self.signal_number = 0
        self.is_urgent = False

    def request(self, signal_number: int) -> None:
        """Request a stop; a second request makes it urgent. Safe in a signal handler."""
        self.is_urgent = self.signal_number != 0
        self.signal_number = signal_number
        self._requests.put(None)

    def check(self) -> None:
        """Raise if a stop was requested.

        Raises:
            StoppedError: a stop was requested.
        """
        if self.signal_number:
            raise StoppedError(self.signal_number)

    def wait(self, seconds: float) -> None:
        """Wait that long, or until a stop is requested.

        Raises:
            StoppedError: a stop was requested before or during the wait.
        """
        self.check()
        with suppress(Empty):
            self._requests.get(timeout=seconds)
        self.check()
