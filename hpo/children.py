"""What spawned processes need: who hears which signal, and that they leave with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


SPAWN = multiprocessing.get_context("spawn")
"""Starts processes with a torch of their own: a forked one would lack the threads it counts on."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


@contextmanager
def handled(handler: Handler, *signals: signal.Signals) -> Iterator[None]:
    """The signals go to the handler until the block ends; only a main thread can have it so.

    What is started while one is ignored is deaf to it from its first moment on. A terminal's Ctrl-C
    reaches children too, but is for the parent alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, former in before.items():
            signal.signal(each, former)


def leave_with_parent(signal_number: int) -> None:
    """In a spawned process: get that signal when the parent is gone, killed, say."""
    threading.Thread(target=_watch_parent, args=(signal_number,), daemon=True).start()


def _watch_parent(signal_number: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal_number)
