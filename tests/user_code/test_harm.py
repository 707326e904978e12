"""Networks and data of a user's own that do, while a worker works, what nobody foresaw."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import HPO, TIMEOUT_S, clean_environment, run_hpo
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import hpo, must


FILES = {
    "harm_nets.py": """\
import os
import sys
import warnings
from pathlib import Path
import torch
from torch import nn
class Harm(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.width = width
        self.line = nn.Linear(3, 2)
    def forward(self, points):
        if self.width == 7 and Path("harm").exists():
            exec(Path("harm").read_text())
        return self.line(points)
""",
    "harm_points.py": POINTS
    + """\
from pathlib import Path
class Fickle(Points):
    def draw_train(self, n, seed):
        if Path("gone").exists():
            raise RuntimeError("the points are gone")
        return super().draw_train(n, seed)
""",
    "space.yaml": """\
architecture: harm_nets:Harm
parameters: {width: {type: int, low: 1, high: 6}}
known: [{width: 1}, {width: 2}]
""",
    "harmful.yaml": "{architecture: harm_nets:Harm, parameters: {width: 7}}",
    "sevens.yaml": """\
architecture: harm_nets:Harm
parameters: {width: {type: int, low: 1, high: 7}}
known: [{width: 7}, {width: 7}]
""",
}
CREATE = ["study", "create", "--architecture", "harm_nets:Harm", "--dataset", "harm_points:Fickle"]
THIN_ICE = "warnings.warn('thin\\nice')"
HARM = {
    "sys.exit(0)": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise ValueError('a zero \\0 in it')": r"a zero \x00 in it",
    "raise ValueError('half \\udc80 of one')": r"half \udc80 of one",
    "raise ValueError('two\\nlines')": "lines",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def create(name: str, space: str, *flags: str) -> None:
    must(*CREATE, "--name", name, "--space", space, "--lease", "3600", *TINY, *flags)


def trials(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must("study", "trials", name, "--json"))
    return found


@pytest.mark.parametrize(("harm", "says"), HARM.items())
def test_what_a_network_raises_is_a_failed_trial_s_reason(harm: str, says: str) -> None:
    create("own", "harmful.yaml")
    check_failure(harm, says)


@pytest.mark.parametrize("url", ["postgresql_url", "mysql_url"])
def test_every_database_keeps_any_reason(
    url: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPO_STORAGE", request.getfixturevalue(url))
    create("own", "harmful.yaml")
    check_failure(r"raise ValueError('a zero \0, half \udc80')", r"a zero \x00, half \udc80")


def check_failure(harm: str, says: str) -> None:
    Path("harm").write_text(harm)
    done = hpo("worker --study own --processes 1")
    assert done.code == 1
    assert "no trial of study 'own' is complete: 1 failed" in done.err.splitlines()[-1]
    (trial,) = trials("own")
    assert trial["state"] == "failed"
    assert says in trial["failure"]
    _, line = must("study", "trials", "own").splitlines()
    assert says in line, "what a table tells of it is one line"


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_network_that_exits_quietly_has_killed_its_worker() -> None:
    create("own", "harmful.yaml", "--max-attempts", "1")
    Path("harm").write_text("os._exit(0)")
    done = run_hpo("worker", "--study", "own", "--processes", "2")
    assert done.returncode == 1
    assert [trial["state"] for trial in trials("own")] == ["failed"]
    assert "died: exit code 0" in trials("own")[0]["failure"]


def test_data_that_cannot_be_drawn_any_more_are_told_in_one_line() -> None:
    create("own", "space.yaml", "--trials", "2")
    Path("gone").touch()
    done = hpo("worker --study own --processes 1")
    assert done.code == 2
    assert done.err.splitlines()[-1].startswith(
        "error: data set harm_points:Fickle cannot be drawn"
    )
    assert trials("own") == []


@pytest.mark.filterwarnings("default")
def test_what_a_network_warns_of_is_an_event_like_others() -> None:
    create("own", "harmful.yaml")
    Path("harm").write_text(THIN_ICE)
    done = hpo("worker --study own --processes 1 --log-format json")
    assert done.code == 0
    told = [json.loads(line) for line in done.err.splitlines()]
    assert any("thin\nice" in event.get("message", "") for event in told)


@pytest.mark.filterwarnings("default")
def test_a_warning_of_several_lines_is_one_line_in_words() -> None:
    create("own", "harmful.yaml")
    Path("harm").write_text(THIN_ICE)
    done = hpo("worker --study own --processes 1")
    assert done.code == 0
    lines = [line for line in done.err.splitlines() if "thin ice" in line]
    assert lines
    assert all(line.startswith("warning: ") for line in lines)


def test_a_study_made_anew_has_its_own_parameters() -> None:
    """SQLite gives the numbers of a deleted study and its trials to the next."""
    from hpo.workers.limits import Limits
    from hpo.workers.loop import Worker
    from storage.engine import Database

    create("own", "sevens.yaml", "--trials", "2", "--pruner", "none")
    db = Database("sqlite:///hpo.db")
    Worker(db, Limits()).run("own")
    must("study delete own --yes")
    Path("harm").write_text("raise ValueError('width 7 is not in this study')")
    create("own", "space.yaml", "--trials", "2", "--pruner", "none")
    must("worker --study own --processes 1 --max-trials 2")
    Worker(db, Limits()).run(None)
    db.close()
    must("storage check")
    shown = json.loads(must("study show own --json"))
    assert shown["state"] == "complete"
    assert shown["best"]["test_error"], "its test runs have failed"
    assert shown["best"]["test_error"]["n"] == 2


@pytest.mark.chaos
def test_a_reader_that_has_left_costs_nothing() -> None:
    """The worker's warnings go nowhere: its work goes on."""
    create("own", "harmful.yaml")
    Path("harm").write_text(THIN_ICE)
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.Popen(
        [HPO, "worker", "--study", "own", "--processes", "1"],
        stderr=writer,
        env=clean_environment(),
    )
    os.close(writer)
    assert process.wait(TIMEOUT_S) == 0
    assert [trial["state"] for trial in trials("own")] == ["complete"]
