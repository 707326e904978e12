"""What hpo reports while it runs: events, as records of the standard library's logger `hpo`.

An event has a name and facts (plain values by name). Some events also have a message, which is one
line for a person. `printer` makes the handler that prints events on stderr:

- The format `text` prints only messages. A warning's line begins with `warning:`. Characters that
  could change a terminal are printed as escapes such as `\\x1b`.
- The format `json` prints every event as one JSON object on one line.

The command line and `hpo.run_worker` attach a printer. Otherwise, in a program that imports hpo,
the records go to the program's own logging handlers.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, TextIO

from hpo.io.streams import one_line


LOG_FORMATS = ("text", "json")

logger = logging.getLogger("hpo")


def emit(event: str, **facts: Any) -> None:
    """Log an event that is only for programs: it has no message."""
    logger.info(event, extra={"event": event, "facts": facts})


def inform(event: str, message: str, **facts: Any) -> None:
    """Log an event with a message for the user, such as the progress of a copy."""
    logger.info("%s", message, extra={"event": event, "facts": facts})


def warn(event: str, message: str, **facts: Any) -> None:
    """Log an event with a message that warns the user."""
    logger.warning("%s", message, extra={"event": event, "facts": facts})


def event_of(record: logging.LogRecord) -> str:
    """The name of a record's event; the record's level if another library logged the record."""
    return str(getattr(record, "event", record.levelname.lower()))


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The facts of a record's event, as values that JSON can hold."""
    return dict(getattr(record, "facts", {}))


def _message_of(record: logging.LogRecord) -> str:
    """The record's message; empty for an event of `emit`."""
    message = record.getMessage()
    return "" if message == event_of(record) else message


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time (UTC), level, event, facts, message if any."""

    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event_of(record),
            **facts_of(record),
        }
        message = _message_of(record)
        return json.dumps(fields | {"message": message} if message else fields)


class JsonHandler(logging.StreamHandler[TextIO]):
    """Prints every event on stderr, one JSON object per line."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(JsonFormatter())
        self.setLevel(logging.INFO)


class TextHandler(logging.Handler):
    """Prints the messages of events on stderr, one line each.

    Every worker of a command reports the same database outage. Consecutive reports of the same
    storage event are printed once. Every worker reports the failed test runs of a study, which are
    also printed once.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self._last_storage_event = ""
        self._printed_failures: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message, event = one_line(_message_of(record)), event_of(record)
        if not message or self._is_repeated(event, message):
            return
        line = f"warning: {message}" if record.levelno >= logging.WARNING else message
        with suppress(OSError):  # nobody reads stderr any more; the program goes on
            print(line, file=sys.stderr, flush=True)

    def _is_repeated(self, event: str, message: str) -> bool:
        if event == "test_runs_failed":
            is_repeated = message in self._printed_failures
            self._printed_failures.add(message)
            return is_repeated
        if not event.startswith("storage_"):
            return False
        is_repeated = event == self._last_storage_event
        self._last_storage_event = event
        return is_repeated


def printer(log_format: str) -> logging.Handler:
    """A handler that prints events on stderr in the format `text` or `json`."""
    return TextHandler() if log_format == "text" else JsonHandler()


def worker_name(index: int, pid: int | None = None) -> str:
    """The name of the command's worker number `index`, with at most 200 characters.

    `pid` is the worker's process number; it defaults to that of this process.
    """
    return f"{socket.gethostname()}-{_command_id()}-{pid or os.getpid()}-{index}"[-200:]


def _command_id() -> str:
    """Six random hexadecimal digits, the same in this process and in the processes it spawns.

    Two containers can have the same host name and the same process numbers. These digits tell their
    commands apart. They come from multiprocessing's authentication key, which children inherit.
    """
    key = multiprocessing.current_process().authkey
    return hashlib.sha256(key).hexdigest()[:6]


class _WorkerFilter(logging.Filter):
    """Adds the worker's name to the facts of events that lack it."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.facts = {"worker": self._worker} | facts_of(record)
        return True


@contextmanager
def attached(*handlers: logging.Handler, worker: str | None = None) -> Iterator[None]:
    """Attach handlers to hpo's logger until the block ends.

    Inside the block, events do not reach the handlers of the root logger. A printer replaces the
    printer of an outer block, so that nothing is printed twice. If `worker` is given, it is the
    fact "worker" of all events that do not name their worker.
    """
    level, propagate = logger.level, logger.propagate
    replaced = [*filter(_is_printer, logger.handlers)] if any(map(_is_printer, handlers)) else []
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in replaced:
        logger.removeHandler(handler)
    for handler in handlers:
        if worker is not None:
            handler.addFilter(_WorkerFilter(worker))
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        for handler in replaced:
            logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate


def _is_printer(handler: logging.Handler) -> bool:
    return isinstance(handler, TextHandler | JsonHandler)


@contextmanager
def captured_warnings() -> Iterator[None]:
    """Log warnings of Python's module `warnings` as events `warning` until the block ends."""
    former = warnings.showwarning
    warnings.showwarning = _log_warning
    try:
        yield
    finally:
        warnings.showwarning = former


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a warning; the parameters are those of `warnings.showwarning`."""
    warn("warning", f"{category.__name__}: {message} ({filename}, line {lineno})")


@contextmanager
def final_error_logged(log_format: str) -> Iterator[None]:
    """With the format `json`, print an error that ends the command as the last event.

    With the format `text`, the error is raised unchanged.

    Raises:
        SystemExit: with the error's exit code, after the event was printed.
    """
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if log_format != "json" or not isinstance(code, int):
            raise
        with attached(printer("json")):
            facts = {"exit_code": code, "worker": worker_name(0)}
            logger.log(logging.ERROR, "%s", error, extra={"event": "ended", "facts": facts})
        sys.exit(code)
