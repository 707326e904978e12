"""Spawned processes: how they start, which signals reach them, and their end with the parent.

A new Python process looks for modules in the working folder first, before the parent tells it
otherwise. Files there, such as a `random.py`, must not run for that reason.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.context import SpawnContext, SpawnProcess
from types import FrameType, ModuleType
from typing import Any

from hpo.errors import InputError
from hpo.foreign_code import trust
from hpo.io import folders


SAFE_PATH = "PYTHONSAFEPATH"
"""The variable that keeps a new Python process from looking for modules in the working folder."""


class SafeProcess(SpawnProcess):
    """A spawned process that imports nothing from the working folder as it starts.

    It may import the modules that its parent may import (see `hpo.foreign_code.trust`).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trust = trust.current()
        self._safe_path = os.environ.get(SAFE_PATH)

    def start(self) -> None:
        """Start the process."""
        with safe_path():
            super().start()

    def run(self) -> None:
        """Run the target of the process, in the process itself."""
        _set_safe_path(self._safe_path)  # a program that a user's network starts is not changed
        with trust.decided(self._trust):
            super().run()


class SafeContext(SpawnContext):
    """The multiprocessing context whose processes are `SafeProcess`es."""

    Process = SafeProcess


SPAWN = SafeContext()
"""The multiprocessing context for child processes. A forked child would lack torch's threads."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object] | signal.Handlers


@contextmanager
def safe_path() -> Iterator[None]:
    """A context in which new Python processes do not look for modules in the working folder."""
    before = os.environ.get(SAFE_PATH)
    _set_safe_path("1")
    try:
        yield
    finally:
        _set_safe_path(before)


def _set_safe_path(value: str | None) -> None:
    if value is None:
        os.environ.pop(SAFE_PATH, None)
    else:
        os.environ[SAFE_PATH] = value


@contextmanager
def signal_handler(handler: Handler, *signals: signal.Signals) -> Iterator[None]:
    """A context in which `handler` handles the signals.

    The context changes nothing outside the main thread, where Python allows no signal handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former_handlers = {number: signal.signal(number, handler) for number in signals}
    try:
        yield
    finally:
        for number, former in former_handlers.items():
            signal.signal(number, former)


@contextmanager
def signals_blocked(*signals: signal.Signals) -> Iterator[None]:
    """A context that blocks the signals; processes started in it block them permanently.

    A terminal sends Ctrl-C to the parent and to all children, but only the parent should react. A
    signal that the parent receives in the context is delivered after the context ends.
    """
    # Started inside the context, the resource tracker would unblock the signals.
    with safe_path():
        resource_tracker.ensure_running()
    former_mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former_mask)


@contextmanager
def spawning() -> Iterator[None]:
    """A context in which child processes are spawned; they do not import the main script.

    multiprocessing imports it in each child, as a child may need what the script defines. Children
    of hpo do not. Without `if __name__ == "__main__"` in the script, each child would run the whole
    script again, and the script of a notebook or of stdin is no file that a child could import.

    Raises:
        InputError: the working folder, in which a child starts, was deleted.
    """
    if folders.working() is None:
        raise InputError("the working folder was deleted; start hpo in another folder")
    main_module = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main_module


def leave_with_parent(signal_number: int) -> None:
    """Send this process the signal when its parent ends, killed or not. For spawned processes."""
    threading.Thread(target=_watch_parent, args=(signal_number,), daemon=True).start()


def _watch_parent(signal_number: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal_number)
