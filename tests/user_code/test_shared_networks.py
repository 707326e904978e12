"""A factory that hands out one network again is refused at creation and by each worker."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import Done, hpo, must


FILES = {
    "sharing_nets.py": """\
from pathlib import Path
from torch import nn
made = []
def build(width=4):
    made.append(nn.Sequential(nn.Linear(3, width), nn.Linear(width, 2)))
    return made[0] if Path("shared").exists() else made[-1]
""",
    "sharing_points.py": POINTS,
    "space.yaml": "{architecture: 'sharing_nets:build', parameters: {learning_rate: 0.01}}",
}
SAYS = (
    "the networks of sharing_nets:build are not independent: two of them share the weight 0.weight"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder; `sys.path` is as before after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def create() -> Done:
    net = ["--architecture", "sharing_nets:build", "--dataset", "sharing_points:Points"]
    return hpo("study", "create", *net, "--name", "own", "--space", "space.yaml", *TINY)


def test_a_factory_of_one_network_is_refused_until_it_makes_new_ones() -> None:
    Path("shared").touch()
    done = create()
    assert done.code == 2
    assert done.err.startswith(f"error: {SAYS}")
    assert len(done.err.splitlines()) == 1
    Path("shared").unlink()
    assert create().code == 0
    Path("shared").touch()
    for worker in ("worker --study own --processes 1", "worker --processes 1"):
        done = hpo(worker)
        assert done.code == 2
        assert SAYS in done.err.splitlines()[-1]
    (trial,) = json.loads(must("study trials own --json"))
    assert (trial["state"], trial["failure"]) == ("waiting", None), "its work is given back"
    Path("shared").unlink()
    assert hpo("worker --study own --processes 1").code == 0
