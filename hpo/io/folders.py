"""The working folder in which hpo was called; code of others may change the working folder.

A relative path that the user gave means a file in the folder in which hpo was called, also after a
user's network or data set has called `os.chdir`.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path


_called_in: ContextVar[Path | None] = ContextVar("called_in", default=None)


@contextmanager
def kept() -> Iterator[None]:
    """Until the block ends, `found` finds paths from here; then return to this working folder."""
    here = _present()
    token = _called_in.set(_called_in.get() or here)
    try:
        yield
    finally:
        _called_in.reset(token)
        if here is not None:
            with suppress(OSError):  # the folder was deleted
                os.chdir(here)


def working() -> Path | None:
    """The folder in which hpo was called, else the working folder; None if it was deleted."""
    return _called_in.get() or _present()


def found(path: Path | str) -> Path:
    """The user's path; absolute if code of others has changed the working folder since the call."""
    called_in = _called_in.get()
    return Path(path) if called_in in (None, _present()) else Path(called_in or "", path)


def _present() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
