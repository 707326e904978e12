"""What a user's code raises, in words: such code may raise anything, with any text or with none."""

import signal
import traceback


MAX_FAILURE_LENGTH = 20_000
"""Maximum characters of a recorded failure; the middle of a longer text is left out."""

MAX_LINE_LENGTH = 300
"""Maximum characters of a line about a failure; the middle of a longer line is left out."""


def describe(error: BaseException) -> str:
    """The type and the message of an exception on one line, such as `ValueError: no width`."""
    name, line = type(error).__name__, " ".join(_text(error).split())
    return f"{name}: {shortened(line, MAX_LINE_LENGTH)}" if line else name


def message_of(error: BaseException) -> str:
    """The message of an exception; the name of its type if it has none."""
    return shortened(_text(error).strip(), MAX_FAILURE_LENGTH) or describe(error)


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception; its last line says in words what went wrong."""
    try:
        text = "".join(traceback.format_exception(error)).rstrip()
    except BaseException:  # noqa: BLE001  the attributes of a user's exception may raise, too
        text = ""
    last_lines = text.splitlines()[-1:]
    if not any(map(str.isalpha, "".join(last_lines))):  # of a group it is a rule of dashes
        text = f"{text}\n{describe(error)}".lstrip()
    return shortened(text, MAX_FAILURE_LENGTH)


def last_line(failure: str | None) -> str | None:
    """The last line of the text `failure`, which says why work failed; None for None."""
    if failure is None:
        return None
    lines = failure.strip().splitlines() or ["no reason was recorded"]
    return shortened(lines[-1], MAX_LINE_LENGTH)


def shortened(text: str, limit: int) -> str:
    """The text; if it is longer than `limit` characters, its middle is replaced by a note."""
    if len(text) <= limit:
        return text
    n_last = limit // 4
    n_first = limit - n_last
    left_out = len(text) - limit
    return f"{text[:n_first]} [... {left_out} characters left out ...] {text[-n_last:]}"


def is_interrupt(error: BaseException) -> bool:
    """Whether an exception comes from Ctrl-C and not from the code that ran.

    Python raises KeyboardInterrupt for Ctrl-C only as long as its own signal handler is installed.
    """
    is_default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return isinstance(error, KeyboardInterrupt) and is_default


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException:  # noqa: BLE001  a user's exception may have any __str__
        return ""
