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
    """The signals go to this handler until the block ends; all as before but in the main thread.

    With `signal.SIG_IGN` a process that is started in the block is deaf to them from its first
    moment on: a terminal's Ctrl-C, which reaches it, too, is for its parent alone.
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
