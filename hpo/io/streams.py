"""The standard streams of a command: text that is safe on a terminal, and streams that fail well.

stdout holds data, stderr holds messages. A stream can be closed, its disk can be full, its reader
can have left, and its encoding can lack characters.
"""

import io
import os
import select
import sys
from typing import Any, TextIO

from hpo.errors import HpoError


class OutputError(HpoError):
    """Data could not be written to stdout."""


def visible(text: str) -> str:
    r"""The text with an escape such as `\x1b` for each character that is not printable.

    A terminal obeys or hides such characters: control characters, line breaks, changes of the
    writing direction, and bytes that are not UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """The text on one line: white space becomes single spaces, the rest is made `visible`."""
    return visible(" ".join(text.split()))


def protect(*, has_data: bool = True) -> None:
    """Make stdout and stderr of this process safe to write to.

    - stdout of a command that has data: the first text that cannot be written raises a
      BrokenPipeError if the reader has left, else an `OutputError`. Later text is dropped.
    - stderr, and stdout without data: text that cannot be written is dropped. No command fails
      because of its messages, and no training because of what the network prints.
    - A character that the encoding of the stream lacks is written as an escape such as `\\xb1`.

    A stream that the program has replaced is left as it is.
    """
    _occupy_closed_descriptors()
    if sys.stdout is sys.__stdout__ or _is_data(sys.stdout):
        kind = _Data if has_data else _Messages
        sys.stdout = _stream(kind(1, "w", closefd=False), sys.__stdout__)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _stream(_Messages(2, "w", closefd=False), sys.__stderr__)


def for_data(descriptor: int, former: TextIO | None) -> TextIO:
    """A stream for data; it fails as `protect` says of stdout, and encodes as the former stream."""
    return _stream(_Data(descriptor, "w", closefd=False), former)


def _is_data(stream: TextIO) -> bool:
    """Whether an earlier call of `protect` has made the stream, for a command that has data."""
    return isinstance(getattr(getattr(stream, "buffer", None), "raw", None), _Data)


class _Data(io.FileIO):
    """The file of stdout: the first failing write raises an error, later ones drop the text."""

    has_failed = False

    def write(self, data: Any, /) -> int:
        if self.has_failed:
            return len(data)
        try:
            return self._write(data)
        except BrokenPipeError:
            self.has_failed = True
            raise
        except OSError as error:
            self.has_failed = True
            raise OutputError(f"cannot write to stdout: {error.strerror}") from error

    def _write(self, data: Any) -> int:
        n_written: int | None
        while (n_written := super().write(data)) is None:  # another program made it non-blocking
            select.select((), (self,), ())
        return n_written


class _Messages(io.FileIO):
    """The file of a stream without data: a failing write drops the text."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data) or len(data)
        except OSError:
            return len(data)


def _stream(file: io.FileIO, former: Any) -> TextIO:
    """A text stream on `file`, with the encoding and buffering of the former stream."""
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=getattr(former, "encoding", None),
        errors="backslashreplace",
        line_buffering=getattr(former, "line_buffering", True),
        write_through=getattr(former, "write_through", False),
    )


def _occupy_closed_descriptors() -> None:
    """Open /dev/null in place of closed standard streams; a write to stdout still fails.

    Otherwise the next file that is opened, such as a database, would become stdout or stderr.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)
            os.set_inheritable(descriptor, True)  # child processes get it, too
