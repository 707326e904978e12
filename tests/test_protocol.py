"""What a study was frozen as is read as long as it is known how, and by no guess."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo import protocol
from hpo.datasets import fingerprint
from hpo.errors import HpoError
from hpo.studies.lifecycle import open_database
from storage import studies
from tests.support.tiny_studies import RECIPE, TINY, must, write_recipe


def first_version() -> dict[str, Any]:
    """A study as version 1 of the protocol stored it."""
    return {
        "version": 1,
        "architecture": "siamese",
        "dataset": "digits",
        "fingerprint": fingerprint("digits"),
        "train_size": 60,
        "test_size": 40,
        "space": {
            "learning_rate": {"type": "float", "low": 0.001, "high": 0.01, "log": True},
            "channels": {"type": "channels", "choices": [2, 4], "layers": 3},
            "dropout": 0.1,
        },
        "known": [{"learning_rate": 0.005, "channels": [2, 4, 4], "dropout": 0.1}],
        "folds": 2,
        "epochs": 2,
        "batch_size": 100,
        "confirm": 0,
        "repeats": 2,
        "max_attempts": 3,
        "sampler": "tpe",
        "pruner": "hyperband",
        "seed": 0,
        "lease_s": 60.0,
    }


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def enter(name: str, stored: dict[str, Any]) -> None:
    with closing(open_database(create=True)) as db:
        studies.add(db, name, json.dumps(stored), 2)


def stored(name: str) -> dict[str, Any]:
    with closing(open_database()) as db:
        found: dict[str, Any] = json.loads(studies.get(db, name).protocol)
    return found


def test_a_new_study_is_of_the_newest_version(tmp_path: Path) -> None:
    hpo.create_study("siamese", name="new", space=write_recipe(tmp_path, RECIPE), **TINY)
    assert stored("new")["version"] == protocol.VERSION == 5


def test_a_study_of_the_first_version_goes_on_to_its_end() -> None:
    enter("old", first_version())
    shown = json.loads(must("study", "show", "old", "--json"))
    assert (shown["state"], shown["trials"]["target"]) == ("searching", 2)
    must("worker", "--study", "old", "--processes", "1")
    shown = json.loads(must("study", "show", "old", "--json"))
    assert (shown["state"], shown["trials"]["failed"]) == ("complete", 0)
    assert stored("old") == first_version(), "what is frozen stays as it is"
    assert "study: old" in must("export", "old")


def test_all_versions_mean_the_same_study() -> None:
    first, *later = (
        protocol.read(json.dumps(first_version() | {"version": number}), "of some version")
        for number in (1, 2, 3, 4, 5)
    )
    for each in later:
        assert each.model_dump(exclude={"version"}) == first.model_dump(exclude={"version"})
    assert [each.version for each in (first, *later)] == [1, 2, 3, 4, 5]
    assert first.precision == "float32"
    assert first.first == list(first.known), "no centre: it was created without"


@pytest.mark.parametrize("change", [{"version": 6}, {"version": "2"}, {"colour": "red"}])
def test_what_a_newer_hpo_stored_is_not_guessed_at(change: dict[str, Any]) -> None:
    says = r"^the stored protocol of study 'new' cannot be read .* newer hpo or was changed by hand"
    with pytest.raises(HpoError, match=says):
        protocol.read(json.dumps(first_version() | change), "new")
