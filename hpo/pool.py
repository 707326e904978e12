"""Pieces of work, spread over processes, where no database is needed: what dies with us is lost.

Each process is spawned, with a torch of its own, and does piece after piece.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from hpo.errors import HpoError, StoppedError
from hpo.limits import Stop


T = TypeVar("T")
R = TypeVar("R")

POLL_S = 0.2
"""A request to stop is heard at most this late."""


class CutShortError(StoppedError):
    """A signal asked to stop; the pieces that were not done yet are lost."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.args = ("stopped before all was done",)


def spread(work: Callable[[T], R], pieces: Sequence[T], n_processes: int) -> Iterator[tuple[T, R]]:
    """Does `work` on each piece; gives pieces and results as they come.

    `work`, pieces and results travel between processes, so that all of them have to be picklable.

    Raises:
        CutShortError: SIGINT or SIGTERM asked to stop; the processes have ended.
        HpoError: one of the processes died.
        Exception: what `work` raises.
    """
    stop = Stop()
    with _handled(lambda number, frame: stop.ask(number)), _executor(n_processes) as executor:
        try:
            with _handled(signal.SIG_IGN):  # a terminal's Ctrl-C is for us alone
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
        raise CutShortError(stop.signal_number) from None


@contextlib.contextmanager
def _executor(n_processes: int) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes, which end with the `with` block, at once where it is left early."""
    before = multiprocessing.active_children()
    spawn = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(n_processes, spawn, initializer=_leave_with_parent)
    try:
        yield executor
    except BaseException:
        for process in multiprocessing.active_children():
            if process not in before:
                process.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """SIGINT and SIGTERM go to this handler, which processes that are started keep if they can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, handler) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)


def _leave_with_parent() -> None:
    """In a spawned process: when the parent is gone, killed, say, go too."""
    threading.Thread(target=_watch_parent, daemon=True).start()


def _watch_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
