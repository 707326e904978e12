"""How events are printed: as lines for a person, or as JSON lines for a program."""

import json
import logging

import pytest

from hpo import events


def log_one_of_each() -> None:
    events.emit("claimed", trial=3)
    events.inform("copying", "5 of 9 rows\ncopied")
    events.warn("study_left_out", "study a is left out", study="a")


def test_text_has_a_line_for_each_message(capsys: pytest.CaptureFixture[str]) -> None:
    with events.attached(events.printer("text")):
        log_one_of_each()
    assert capsys.readouterr() == ("", "5 of 9 rows copied\nwarning: study a is left out\n")


def test_an_inner_printer_replaces_the_outer_one(capsys: pytest.CaptureFixture[str]) -> None:
    with events.attached(events.printer("text")):
        with events.attached(events.printer("json"), worker="w"):
            log_one_of_each()
        lines = capsys.readouterr().err.splitlines()
        events.inform("copying", "again as text")
    assert capsys.readouterr().err == "again as text\n"
    records = [json.loads(line) for line in lines]
    assert [record["event"] for record in records] == ["claimed", "copying", "study_left_out"]
    assert [record["worker"] for record in records] == ["w"] * 3
    assert "message" not in records[0]


def test_a_program_gets_warnings_through_its_own_handlers(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    log_one_of_each()
    assert caplog.messages == ["study a is left out"]
    assert capsys.readouterr() == ("", "")
    assert logging.getLogger("hpo").handlers == []
