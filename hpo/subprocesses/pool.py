"""Pieces of work, spread over processes, where no database is needed: what dies with us is lost.

Each process is spawned, with a torch of its own, and does piece after piece.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from hpo.errors import HpoError, StoppedError
from hpo.subprocesses.spawn import SIGNALS, SPAWN, handled, held_back, leave_with_parent
from hpo.subprocesses.stop import Stop


T = TypeVar("T")
R = TypeVar("R")

POLL_S = 0.2
"""A request to stop is heard at most this late."""


def spread(work: Callable[[T], R], pieces: Sequence[T], n_processes: int) -> Iterator[tuple[T, R]]:
    """Does `work` on each piece; gives pieces and results as they come.

    `work`, pieces and results travel between processes, so that all of them have to be picklable.

    Raises:
        StoppedError: SIGINT or SIGTERM asked to stop; the processes have ended, and the pieces that
            were not done yet are lost.
        HpoError: one of the processes died.
        Exception: what `work` raises.
    """
    stop = Stop()
    with (
        handled(lambda number, frame: stop.request(number), *SIGNALS),
        _executor(n_processes) as executor,
    ):
        try:
            with held_back(*SIGNALS):  # a terminal's Ctrl-C is for us alone
                done_as = {executor.submit(work, piece): piece for piece in pieces}
            for future in _as_done(set(done_as), stop):
                yield done_as[future], future.result()
        except BrokenProcessPool as error:
            _check(stop, POLL_S)  # the signal that killed it may have been for all of us
            raise HpoError(
                "a process died, as it does where the memory is too small; "
                "use fewer of them: --processes"
            ) from error


def _as_done(waiting: set[Future[R]], stop: Stop) -> Iterator[Future[R]]:
    """The futures as they are done, those with results before those that a death has ended."""
    while waiting:
        _check(stop)
        done, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
        yield from sorted(done, key=lambda future: future.exception() is not None)


def _check(stop: Stop, within_s: float = 0.0) -> None:
    try:
        stop.wait(within_s)
    except StoppedError:
        raise StoppedError(stop.signal_number, "stopped before all was done") from None


@contextmanager
def _executor(n_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes, which end with the `with` block, at once where it is left early."""
    before = multiprocessing.active_children()
    executor = ProcessPoolExecutor(n_processes, SPAWN, leave_with_parent, (signal.SIGKILL,))
    try:
        yield executor
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in before:
                process.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)
