"""A process pool for work that needs no database; unfinished work is lost if this process dies.

Each process of the pool is spawned, not forked, and runs one piece of work after another.
"""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from hpo.errors import HpoError, StoppedError
from hpo.subprocesses.spawn import (
    SIGNALS,
    SPAWN,
    leave_with_parent,
    safe_path,
    signal_handler,
    signals_blocked,
)
from hpo.subprocesses.stop import Stop


T = TypeVar("T")
R = TypeVar("R")

POLL_S = 0.2
"""Seconds between two checks whether a stop was requested."""


def spread(work: Callable[[T], R], pieces: Sequence[T], n_processes: int) -> Iterator[tuple[T, R]]:
    """Call `work` on each piece in a pool; yield each piece and its result when it is done.

    `work`, the pieces and the results must be picklable, because they are sent between processes.

    Raises:
        StoppedError: SIGINT or SIGTERM requested a stop. The processes of the pool have ended, and
            unfinished pieces are lost.
        HpoError: a process of the pool died.
        Exception: `work` raised this exception.
    """
    stop = Stop()
    with (
        signal_handler(lambda number, frame: stop.request(number), *SIGNALS),
        _executor(n_processes) as executor,
    ):
        try:
            with signals_blocked(*SIGNALS):  # only this process handles Ctrl-C of a terminal
                piece_of = {executor.submit(work, piece): piece for piece in pieces}
            for future in _as_done(set(piece_of), stop):
                yield piece_of[future], future.result()
        except BrokenProcessPool as error:
            # If a signal to the process group killed the child, it may reach us a moment later.
            _check(stop, POLL_S)
            raise HpoError(
                "a process died, probably because memory ran out; use fewer processes: --processes"
            ) from error


def _as_done(waiting: set[Future[R]], stop: Stop) -> Iterator[Future[R]]:
    """Yield futures when they are done. Of futures done together, successful ones come first."""
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
    """A pool of spawned processes. They end with the block; an exception kills them at once."""
    before = multiprocessing.active_children()
    with safe_path():  # its queues start Python's resource tracker
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
