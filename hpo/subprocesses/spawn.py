"""What spawned processes need: who hears which signal, and that they leave with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType


SPAWN = multiprocessing.get_context("spawn")
"""Starts processes with a torch of their own: a forked one would lack the threads it counts on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


@contextmanager
def handled(handler: Handler, *signals: signal.Signals) -> Iterator[None]:
    """The signals go to this handler until the block ends; nothing but in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)


@contextmanager
def held_back(*signals: signal.Signals) -> Iterator[None]:
    """Processes that are started in the block are deaf to these signals from their first moment on.

    A terminal's Ctrl-C reaches them, too, but is for their parent alone; one that comes meanwhile
    reaches it after the block.
    """
    resource_tracker.ensure_running()  # it would lift the block when it is started in it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_with_parent(signal_number: int) -> None:
    """In a spawned process: get that signal when the parent is gone, killed, say."""
    threading.Thread(target=_watch_parent, args=(signal_number,), daemon=True).start()


def _watch_parent(signal_number: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal_number)
