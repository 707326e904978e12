"""Text of a user's network or of a stranger's database changes no terminal."""

import json
import sys
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from hpo import events
from hpo.commands.completion import study_names
from hpo.reports.run_progress import RunProgress
from hpo.studies.lifecycle import open_database
from storage import studies
from tests.support.own_code import TINY, write
from tests.support.tiny_studies import hpo, must


NASTY = "back\rup\b \x1b]0;title\x07 \x9b2J \u202ename"
SHOWN = r"\x1b]0;title\x07 \x9b2J \u202ename"
FILES = {
    "nasty_net.py": f"""
import warnings
from torch import nn
class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.line = nn.Linear(392, 2)
    def forward(self, images):
        warnings.warn({NASTY!a})
        if self.training and len(images) > 8:
            raise ValueError({NASTY!a})
        return self.line(images.flatten(1))
""",
    "space.yaml": "{architecture: 'nasty_net:Net', parameters: {width: {values: [2, 3]}}}",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path, FILES))


def check_harmless(text: str) -> None:
    assert text.replace("\n", "").isprintable()
    assert SHOWN in text


@pytest.mark.filterwarnings("always")
def test_a_failure_and_a_warning_are_made_visible() -> None:
    names = ["--architecture", "nasty_net:Net", "--dataset", "digits", "--space", "space.yaml"]
    created = hpo("study", "create", "--name", "n", *names, "--trials", "1", *TINY)
    assert created.code == 0, created.err
    check_harmless(created.err)
    worked = hpo("worker --study n --processes 1")
    assert worked.code == 1
    check_harmless(worked.err)
    check_harmless(must("study trials n"))
    (trial,) = json.loads(must("study trials n --json"))
    assert NASTY in trial["failure"], "the database and JSON keep the text"


def test_a_stranger_s_study_name_is_made_visible() -> None:
    with closing(open_database(create=True)) as db:
        studies.add(db, NASTY, "{}", 1)
        studies.add(db, "plain", "{}", 1)
    check_harmless(hpo("study list").err)
    assert hpo("storage check").out.replace("\n", "").isprintable()
    check_harmless(hpo("study", "show", NASTY).err)


def test_completion_offers_no_name_that_changes_a_terminal() -> None:
    from typer import Context
    from typer.main import get_command

    import cli

    with closing(open_database(create=True)) as db:
        studies.add(db, NASTY, "{}", 1)
        studies.add(db, "plain", "{}", 1)
    assert study_names(Context(get_command(cli.app)), "") == ["plain"]


def test_progress_lines_are_made_visible(capsys: pytest.CaptureFixture[str]) -> None:
    with RunProgress(1) as progress:
        progress.print_line(f"net: failed: {NASTY}\nmore")
    err = capsys.readouterr().err
    check_harmless(err)
    assert err.count("\n") == 1


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_event_of_the_innermost_printer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with events.attached(events.printer("text")), events.captured_warnings():
        with events.attached(events.printer("json")), events.captured_warnings():
            warnings.warn("within", stacklevel=1)
        warnings.warn("without", stacklevel=1)
    inner, outer = capsys.readouterr().err.splitlines()
    assert json.loads(inner)["event"] == "warning"
    assert json.loads(inner)["message"].startswith("UserWarning: within (")
    assert outer.startswith("warning: UserWarning: without (")
