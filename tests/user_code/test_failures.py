"""What exceptions say, whatever text they have."""

import asyncio

import pytest

from hpo.foreign_code.failures import describe, last_line, message_of, traceback_of


class MuteError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class BlankError(Exception):
    def __str__(self) -> str:
        return " \n"


LONG = "x" * 10_000_000
ERRORS = [
    (ValueError("two\nlines"), "ValueError: two lines", "two\nlines", "lines"),
    (ValueError(), "ValueError", "ValueError", "ValueError"),
    (asyncio.CancelledError(), "CancelledError", "CancelledError", "CancelledError"),
    (BlankError(), "BlankError", "BlankError", "BlankError"),
    (MuteError(), "MuteError", "MuteError", "MuteError"),
    (KeyError("width"), "KeyError: 'width'", "'width'", "KeyError: 'width'"),
    (
        BaseExceptionGroup("both", [ValueError("a"), GeneratorExit()]),
        "BaseExceptionGroup: both (2 sub-exceptions)",
        "both (2 sub-exceptions)",
        "both",
    ),
]


@pytest.mark.parametrize(("error", "described", "message", "end"), ERRORS)
def test_an_exception_is_told_in_words(
    error: BaseException, described: str, message: str, end: str
) -> None:
    assert describe(error) == described
    assert message_of(error) == message
    assert end in (last_line(traceback_of(error)) or "")


def test_a_very_long_text_is_cut_in_its_middle() -> None:
    error = ValueError(f"begin {LONG} end")
    assert len(describe(error)) < 400
    for text in (message_of(error), traceback_of(error)):
        assert len(text) < 20_100
        assert "begin" in text
        assert text.endswith("end")
        assert "characters left out" in text
        assert len(last_line(text) or "") < 400


def test_no_recorded_reason_is_told_as_such() -> None:
    assert last_line(" \n") == "no reason was recorded"
    assert last_line(None) is None
