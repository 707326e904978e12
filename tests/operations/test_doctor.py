"""What `hpo doctor` finds."""

import json
from pathlib import Path

import pytest

from tests.support.tiny_studies import hpo, must, tiny_flags, write_recipe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe in it."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


def test_doctor_finds_this_machine_fit() -> None:
    create = "study create --architecture siamese --name tiny --space recipe.yaml"
    must(*create.split(), *tiny_flags())
    findings = {each["what"]: each for each in json.loads(must("doctor --json"))}
    assert findings["storage"]["verdict"] == "good"
    assert findings["storage"]["words"] == "sqlite:///hpo.db holds 1 study"
    assert findings["data digits"]["verdict"] == "good"


def test_doctor_finds_a_broken_storage(folder: Path) -> None:
    (folder / "notes.txt").write_text("no database\n" * 100)
    done = hpo("doctor --storage sqlite:///notes.txt --json")
    assert done.code == 1
    findings = {each["what"]: each for each in json.loads(done.out)}
    assert findings["storage"]["verdict"] == "bad"
