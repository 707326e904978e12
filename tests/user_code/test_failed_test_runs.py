"""Test runs that fail are told wherever a result is: how many, with which seeds, and why."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_code import POINTS, TINY, show, write
from tests.support.tiny_studies import Done, hpo, must


FILES = {
    "failing_nets.py": """\
from torch import nn
class Line(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.line = nn.Linear(3, 2)
    def forward(self, points):
        return self.line(points)
""",
    "failing_points.py": POINTS
    + """\
from pathlib import Path
from hpo.seeds import derive
class Gaps(Points):
    def draw_test(self, n, seed):
        examples = super().draw_test(n, seed)
        bad = Path("bad").read_text().split() if Path("bad").exists() else []
        if seed in [derive("test run", int(each)) for each in bad]:
            examples.inputs[0] = float("nan")
        return examples
""",
    "space.yaml": """\
architecture: failing_nets:Line
parameters: {learning_rate: {type: float, low: 0.001, high: 0.1}}
""",
}
WHY = "draw_test returns values that are missing or infinite"
WORK = "worker --study own --processes 1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder; `sys.path` is as before after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def work_with(bad_seeds: str) -> Done:
    """A study of one trial and three test runs; those with bad seeds draw a missing value."""
    net = ["--architecture", "failing_nets:Line", "--dataset", "failing_points:Gaps"]
    flags = ["--name", "own", "--space", "space.yaml", "--trials", "1", *TINY, "--repeats", "3"]
    must("study", "create", *net, *flags)
    Path("bad").write_text(bad_seeds)
    return hpo(WORK)


def best() -> dict[str, Any]:
    found: dict[str, Any] = show("own", "sqlite:///hpo.db")["best"]
    return found


def test_values_carry_their_seeds_where_a_run_is_missing() -> None:
    done = work_with("1")
    assert done.code == 0
    assert "1 of 3 test runs of study own failed: seed 1: data set failing_points:Gaps" in done.err
    assert WHY in done.err
    shown = best()
    assert (shown["test_error"]["n"], shown["test_error"]["seeds"]) == (2, [0, 2])
    assert len(shown["test_error"]["values"]) == 2
    assert [run["seed"] for run in shown["failed_test_runs"]] == [1]
    assert WHY in shown["failed_test_runs"][0]["failure"]
    assert "(n = 2), 1 failed" in must("study list")
    assert WHY in must("study show own")
    assert WHY in hpo(WORK).err, "a worker that finds the study complete tells it, too"


def test_a_study_without_any_test_run_ends_its_worker_with_1() -> None:
    done = work_with("0 1 2")
    assert done.code == 1
    line = done.err.splitlines()[-1]
    assert line.startswith("error: no test run of study 'own' is complete: 3 failed (seeds 0, 1, 2")
    assert WHY in line
    shown = best()
    assert shown["test_error"] is None
    assert [run["seed"] for run in shown["failed_test_runs"]] == [0, 1, 2]
    assert "-, 3 failed" in must("study list")
    assert hpo("worker --processes 1").code == 0, "another study's worker has nothing to tell"


def test_no_failure_is_an_empty_list() -> None:
    assert work_with("").code == 0
    assert best()["failed_test_runs"] == []
    assert best()["test_error"]["seeds"] == [0, 1, 2]
