"""`--if-not-exists` keeps a study of equal settings, and says in what another one differs."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpo import protocol
from hpo.protocol import Protocol
from hpo.studies.differences import differences
from hpo.studies.draft import Draft
from hpo.studies.lifecycle import Study
from tests.support.bad_input import CONFLICT
from tests.support.tiny_studies import FIXED, hpo, must, tiny_flags, write_recipe


CREATE = "study create --architecture siamese --name tiny --space fixed.yaml --if-not-exists --json"
SPACE = {"learning_rate": {"type": "float", "low": 0.001, "high": 0.01}, "dropout": 0.1}
KNOWN = {"learning_rate": 0.002, "dropout": 0.1}


def frozen(**settings: Any) -> Protocol:
    values: dict[str, Any] = {
        "architecture": "siamese",
        "dataset": "digits",
        "fingerprint": "abc",
        "train_size": 60,
        "test_size": 40,
        "space": SPACE,
        "initial_trials": 3,
    }
    return protocol.make(**(values | settings))


def stored(trials: int = 3, left_out: tuple[str, ...] = (), **settings: Any) -> Study:
    """A study as it is read from a database, perhaps of a version that left settings out."""
    values = frozen(**settings).model_dump(mode="json", exclude=set(left_out))
    read = protocol.read(json.dumps(values), "tiny")
    return Study(id=1, name="tiny", protocol=read, n_trials=trials, created_at=0.0, paused=False)


def compare(study: Study, trials: int = 3, **settings: Any) -> list[str]:
    return differences(study, Draft(name="tiny", protocol=frozen(**settings), n_trials=trials))


def test_the_command_keeps_an_equal_study_and_refuses_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path, FIXED, "fixed.yaml")
    first = must(*CREATE.split(), *tiny_flags(trials=5))
    assert must(*CREATE.split(), *tiny_flags(seed=0)) == first, "one point has one trial"
    done = hpo(*CREATE.split(), *tiny_flags(folds=3, test_size=41))
    assert done.code == CONFLICT
    line = done.err.splitlines()[-1]
    assert "'tiny' exists with other settings: folds is 2, not 3; test-size is 40, not 41;" in line


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, []),
        ({"space": {"dropout": 0.1, "learning_rate": SPACE["learning_rate"]}}, []),
        (
            {"folds": 3, "lease_s": 30.0, "centre": False},
            ["folds is 5, not 3", "centre is True, not False", "lease is 60.0, not 30.0"],
        ),
        ({"architecture": "fnn"}, ["architecture is siamese, not fnn"]),
        ({"dataset": "mnist", "fingerprint": "def"}, ["dataset is digits, not mnist"]),
        ({"fingerprint": "def"}, ["the data of digits were others than those on this machine"]),
        ({"space": SPACE | {"dropout": 0.2}}, ["the search space has another dropout"]),
        (
            {"space": {"merge": "sum"}},
            ["the search space has another merge, learning_rate, dropout"],
        ),
        ({"known": (KNOWN,)}, ["the recipe has other known configurations"]),
    ],
)
def test_resolved_settings_are_compared(asked: dict[str, Any], says: list[str]) -> None:
    assert compare(stored(), **asked) == says


@pytest.mark.parametrize(
    ("initial", "asked", "says"),
    [
        (2, 2, []),
        (2, 4, []),
        (2, 3, ["trials is 4, not 3"]),
        (2, 5, ["trials is 4, not 5"]),
        (None, 2, []),
        (None, 5, ["trials is 4, not 5"]),
    ],
)
def test_an_extended_study_has_the_trials_of_its_creation_and_the_present_ones(
    initial: int | None, asked: int, says: list[str]
) -> None:
    """A study of an older version does not store the number of its creation."""
    assert compare(stored(trials=4, initial_trials=initial), trials=asked) == says


def test_a_setting_that_an_older_version_did_not_store_counts_as_left_out() -> None:
    study = stored(left_out=("centre", "precision", "initial_trials"), version=2)
    assert compare(study) == []
    assert compare(study, precision="bfloat16") == ["precision is float32, not bfloat16"]
