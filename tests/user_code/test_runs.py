"""Networks and data of a user's own while a study runs: what fails there fails alone."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import tiny_studies
from tests.support.own_code import POINTS, TINY, show, write
from tests.support.tiny_studies import must


FILES = {
    "running_nets.py": """\
from torch import nn
from hpo import Architecture
from hpo.errors import InputError
class Numbers(nn.Module):
    def __init__(self, share=0.0):
        super().__init__()
        if 0.2 < share < 0.8:
            raise InputError(f"share: {share} is neither small nor large")
        self.line = nn.Linear(3, 1)
    def forward(self, points):
        return self.line(points)[:, 0]
def farthest(outputs, batch):
    return (outputs.logits - batch.targets).abs().max()
NETWORK = Architecture(build=Numbers, loss=farthest)
""",
    "running_data.py": POINTS
    + """\
from pathlib import Path
from hpo.errors import DataError
class Measured(Points):
    def draw_test(self, n, seed):
        if not Path("points.csv").exists():
            raise DataError("points.csv is missing")
        return self.draw_train(n, seed + 1)
    def error(self, answers, targets):
        return ((answers > 0.5) != targets).float().mean()
""",
    "points.csv": "",
    "space.yaml": """\
architecture: running_nets:NETWORK
parameters:
  share: {type: float, low: 0.0, high: 1.0}
known: [{share: 0.0}, {share: 0.5}, {share: 1.0}]
""",
}
CREATE = [
    *("study", "create", "--name", "own", "--architecture", "running_nets:NETWORK"),
    *("--dataset", "running_data:Measured", "--space", "space.yaml", "--trials", "3", *TINY),
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder; `sys.path` is as before after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def work(*flags: str) -> tiny_studies.Done:
    return tiny_studies.hpo("worker", "--study", "own", "--processes", "1", *flags)


def trials() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must("study", "trials", "own", "--json"))
    return found


def test_a_dry_run_takes_an_own_error_and_an_own_loss(folder: Path) -> None:
    """Their answers are [N], of which the built-in error of classes can make nothing."""
    cost = json.loads(must(*CREATE, "--dry-run", "--json"))
    assert (cost["n_trials"], cost["trial_fold_epochs"], cost["test_epochs"]) == (3, 12, 4)
    assert cost["fold_epoch_s"] > 0
    assert list(folder.glob("*.db")) == []


def test_a_refused_configuration_is_one_failed_trial() -> None:
    """No corner of the space is refused, so that creating the study cannot find it."""
    must(*CREATE)
    assert work().code == 0
    found = [(each["state"], each["params"], each["failure"]) for each in trials()]
    assert found == [
        ("complete", {"share": 0.0}, None),
        ("failed", {"share": 0.5}, "share: 0.5 is neither small nor large"),
        ("complete", {"share": 1.0}, None),
    ]
    status = show("own", "sqlite:///hpo.db")
    assert status["state"] == "complete"
    assert status["best"]["test_error"]["n"] == 2


def test_data_that_are_gone_stop_the_worker_and_fail_nothing(folder: Path) -> None:
    must(*CREATE, "--lease", "1")
    (folder / "points.csv").unlink()
    done = work()
    assert (done.code, done.err.splitlines()[-1]) == (2, "error: points.csv is missing")
    assert [each["state"] for each in trials()] == ["complete", "failed", "complete"]
    status = show("own", "sqlite:///hpo.db")
    assert (status["state"], status["best"]["test_error"]) == ("testing", None)
    (folder / "points.csv").touch()
    assert work().code == 0
    assert show("own", "sqlite:///hpo.db")["best"]["test_error"]["n"] == 2
