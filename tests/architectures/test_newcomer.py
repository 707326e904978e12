"""A newcomer adds an architecture in one file and a recipe, and nothing else is changed."""

import json
import shutil
from pathlib import Path

import pytest

from hpo.architectures import architectures
from tests.support.commands import run_in_turn
from tests.support.sources import ROOT


ARCHITECTURE = '''\
"""One line and a comparison of two numbers."""

from torch import nn

from hpo.architectures.blocks import ComparedPair
from hpo.architectures.contract import Traits, pair_architecture


def line(traits: Traits, *, width: int = 4) -> nn.Module:
    """A row of hidden units for each image."""
    read = lambda: nn.Sequential(nn.Flatten(), nn.Linear(196, width), nn.ReLU())
    compare = lambda: nn.Sequential(nn.Flatten(), nn.Linear(2 * width, 2))
    return ComparedPair(traits, read, compare)


pair_architecture("line", line, source="a newcomer", weight_sharing=True)
'''
RECIPE = """\
architecture: line
training: {epochs: 2, batch_size: 20}
parameters:
  learning_rate: {type: float, low: 1.0e-3, high: 1.0e-1, log: true}
  width: {type: int, low: 2, high: 8}
known: [{learning_rate: 0.01, width: 5}]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of what is installed, with the newcomer's two files."""
    home = tmp_path / "home"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in ("hpo", "search_spaces", "storage"):
        shutil.copytree(ROOT / package, home / package, ignore=ignored)
    shutil.copy(ROOT / "cli.py", home)
    (home / "hpo" / "architectures" / "line.py").write_text(ARCHITECTURE)
    (home / "search_spaces" / "line.yaml").write_text(RECIPE)
    return home


@pytest.mark.slow
def test_a_new_architecture_is_listed_and_searched(home: Path, tmp_path: Path) -> None:
    sizes = "--dataset digits --folds 2 --train-size 60 --test-size 40"
    done = run_in_turn(
        "architectures --json",
        f"study create --architecture line --trials 2 {sizes}",
        "worker --study line --processes 1 --max-trials 1",
        "study trials line --json",
        path=home,
        cwd=tmp_path,
    )
    assert [each.code for each in done] == [0] * 4, done
    listed = {each["name"]: each for each in json.loads(done[0].out)}
    assert listed["line"]["n_parameters"] == 196 * 4 + 4 + 2 * 4 * 2 + 2
    assert listed["line"]["weight_sharing"]
    assert "siamese" in listed
    first, *_ = json.loads(done[-1].out)
    assert (first["state"], first["n_epochs"]) == ("complete", 2)
    assert first["params"] == {"learning_rate": 0.01, "width": 5}
    assert "line" not in architectures, "it was found in the copy"
