"""Stdout of the command line: it holds the data of a command and nothing else.

The network or the data set of a user may print whenever its code runs: when it is imported, in C
code, in a process that it starts, or when the program ends. `reserved` sends all of that to stderr.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TextIO

from hpo.io import streams


_data_stream: TextIO | None = None


@contextmanager
def reserved() -> Iterator[None]:
    """In the block, only `write_data` writes to stdout; all else that is printed goes to stderr.

    If stdout is file descriptor 1, the descriptor leads to stderr from now on, also after the block
    and in child processes: code of a user may still run while the program ends.
    """
    global _data_stream
    before = sys.stdout, _data_stream
    _data_stream = _private_copy() if _is_descriptor_1(sys.stdout) else sys.stdout
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout, _data_stream = before


def data_stream() -> TextIO | None:
    """The stream that the data of a command are written to; None if stdout is closed."""
    return _data_stream or sys.stdout


def write_data(text: str) -> None:
    """Write data of a command to stdout.

    Raises:
        BrokenPipeError: the program that reads stdout has ended.
        OutputError: stdout is full or closed.
    """
    stream = data_stream()
    if stream is not None:
        stream.write(text)
        stream.flush()


def descriptor(number: int) -> int:
    """The open file that had this number when the program started."""
    is_reserved = number == 1 and _private_copy.cache_info().currsize
    return _private_copy().fileno() if is_reserved else number


def _is_descriptor_1(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == 1
    except OSError:  # a stream in memory has no descriptor
        return False


@cache
def _private_copy() -> TextIO:
    """A stream to where stdout leads; from now on, file descriptor 1 leads to stderr.

    Child processes do not inherit the stream.
    """
    stdout = sys.stdout
    stdout.flush()
    copy = os.dup(1)
    _redirect(1, 2 if sys.__stderr__ is not None else None)
    return streams.for_data(copy, stdout)


def _redirect(number: int, to: int | None) -> None:
    """Let a file descriptor lead to where `to` leads, or drop what is written to it."""
    target = os.open(os.devnull, os.O_WRONLY) if to is None else to
    os.dup2(target, number)
    if to is None:
        os.close(target)
