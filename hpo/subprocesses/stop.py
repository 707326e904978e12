"""A request to stop, made by a signal handler and checked by the program's loops."""

from contextlib import suppress
from queue import Empty, SimpleQueue

from hpo.errors import StoppedError


class Stop:
    """A request to stop this process.

    `signal_number` is the requesting signal, 0 without a request. `is_urgent` is true after a
    second request.
    """

    def __init__(self) -> None:
        # threading.Event could deadlock: the handler may interrupt the thread that holds its lock.
        self._requests: SimpleQueue[None] = SimpleQueue()
        self.signal_number = 0
        self.is_urgent = False

    def request(self, signal_number: int) -> None:
        """Request a stop; a second request makes it urgent. Signal handlers may call this."""
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
        """Wait `seconds`, or until a stop is requested.

        Raises:
            StoppedError: a stop was requested before or during the wait.
        """
        self.check()
        with suppress(Empty):
            self._requests.get(timeout=seconds)
        self.check()
