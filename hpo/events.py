"""What workers tell: an event with its facts, as a log record that a person or a program reads.

They go to the logger `hpo` by the standard library's means. What `printer` makes prints them on
stderr: as text (warnings alone, beside the progress display) or as JSON, one object a line.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any


LOG_FORMATS = ("text", "json")

logger = logging.getLogger("hpo")


def emit(event: str, **facts: Any) -> None:
    """Something went as it should."""
    logger.info(event, extra={"event": event, "facts": facts})


def warn(event: str, words: str, **facts: Any) -> None:
    """Something that the user should know, in words on one line."""
    logger.warning("%s", words, extra={"event": event, "facts": facts})


def event_of(record: logging.LogRecord) -> str:
    """The event's name."""
    return str(getattr(record, "event", record.levelname.lower()))


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The event's facts, of JSON's types."""
    return dict(getattr(record, "facts", {}))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, its facts, and the words where there are any."""

    def format(self, record: logging.LogRecord) -> str:
        event, words = event_of(record), record.getMessage()
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": event,
            **facts_of(record),
        }
        return json.dumps(told if words == event else told | {"message": words})


class TextHandler(logging.Handler):
    """Warnings as lines on stderr; an outage that every worker tells of is said once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._storage_event = ""

    def emit(self, record: logging.LogRecord) -> None:
        event = event_of(record)
        if event.startswith("storage_"):
            if event == self._storage_event:
                return
            self._storage_event = event
        with suppress(OSError):  # whoever read it may have left; the work goes on
            words = " ".join(record.getMessage().split())
            print(f"warning: {words}", file=sys.stderr, flush=True)


def worker_name(index: int, pid: int | None = None) -> str:
    """The name of a worker of this command, by default of this process."""
    return f"{socket.gethostname()}-{_command()}-{pid or os.getpid()}-{index}"[-200:]


def _command() -> str:
    """What tells this command from another in a container of equal host name and process numbers.

    It is random, and the same in a process and in those it spawns: they inherit the key.
    """
    key = multiprocessing.current_process().authkey
    return hashlib.sha256(key).hexdigest()[:6]


def printer(log_format: str) -> logging.Handler:
    """What prints events in that format."""
    if log_format == "text":
        return TextHandler()
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonFormatter())
    lines.setLevel(logging.INFO)
    return lines


class _Signature(logging.Filter):
    """Puts the worker's name to events of parts that do not know it."""

    def __init__(self, worker: str) -> None:
        super().__init__()
        self._worker = worker

    def filter(self, record: logging.LogRecord) -> bool:
        record.facts = {"worker": self._worker} | facts_of(record)
        return True


@contextmanager
def heard(*handlers: logging.Handler, worker: str | None = None) -> Iterator[None]:
    """Events go to these handlers alone until the block ends, signed with the worker's name."""
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for each in handlers:
        if worker is not None:
            each.addFilter(_Signature(worker))
        logger.addHandler(each)
    try:
        yield
    finally:
        for each in handlers:
            logger.removeHandler(each)
        logger.setLevel(level)
        logger.propagate = propagate


@contextmanager
def warnings_told() -> Iterator[None]:
    """What Python warns of goes the way of events until the block ends."""
    others = logging.getLogger("py.warnings")
    handlers = logger.handlers[:]
    for each in handlers:
        others.addHandler(each)
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for each in handlers:
            others.removeHandler(each)


@contextmanager
def errors_told(log_format: str) -> Iterator[None]:
    """In the format json, an error that ends the command is an event, too, and its last.

    Raises:
        SystemExit: with the error's exit code.
    """
    try:
        yield
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if log_format != "json" or not isinstance(code, int):
            raise
        with heard(printer("json")):
            facts = {"exit_code": code, "worker": worker_name(0)}
            logger.log(logging.ERROR, "%s", error, extra={"event": "ended", "facts": facts})
        sys.exit(code)
