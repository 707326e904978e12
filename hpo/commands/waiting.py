"""What a command does while it prints nothing yet, told to a person who waits at a terminal."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from hpo.io.streams import visible


PATIENCE_S = 1.5
"""Seconds that a terminal stays silent before it says what the command does."""


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Print `what` as a line on stderr if the block takes longer than `PATIENCE_S`.

    This holds for a terminal. Files and pipes get only results, warnings and errors.
    """
    line = f"{visible(what)} ..."
    timer = threading.Timer(PATIENCE_S, print, (line,), {"file": sys.stderr})
    timer.daemon = True
    if sys.stderr is not None and sys.stderr.isatty():
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
