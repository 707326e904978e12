"""A person at a terminal is told what a command does while nothing else is printed."""

import io
import sys
import threading

import pytest

from hpo.commands import waiting
from hpo.commands.waiting import explained


class Screen(io.StringIO):
    """A stderr that is a terminal or not, and tells when something is printed."""

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal
        self.is_printed = threading.Event()

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> int:
        n = super().write(text)
        if text.endswith("\n"):
            self.is_printed.set()
        return n


def timers() -> set[threading.Thread]:
    """The lines that wait for their time to be printed."""
    return {thread for thread in threading.enumerate() if isinstance(thread, threading.Timer)}


def test_a_terminal_is_told_what_takes_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    with explained("checking the study"):
        assert screen.is_printed.wait(60)
    assert screen.getvalue() == "checking the study ...\n"


def test_what_is_done_soon_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(is_terminal=True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(waiting, "PATIENCE_S", 3600.0)
    before = timers()
    with explained("checking the study"):
        assert len(timers() - before) == 1
    assert screen.getvalue() == ""


def test_a_pipe_gets_no_such_line(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen(is_terminal=False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.0)
    before = timers()
    with explained("checking the study"):
        assert timers() <= before
    assert screen.getvalue() == ""
