"""A paused study: its work under way is finished, and no more of it is given out."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from hpo.workers import loop
from storage import studies
from storage.claims import Idle, claim
from storage.engine import Database
from storage.errors import StudyMissingError
from tests.support.commands import TIMEOUT_S, wait_until, worker
from tests.support.storage_checks import work_rows
from tests.support.storage_worker import OVER_S, do, make_plan, must_claim, new_study, play
from tests.support.tiny_studies import hpo, must, tiny_flags, write_recipe


PLAN = make_plan()
SILENT = make_plan(lease_s=OVER_S)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe in it."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


def create(name: str = "tiny", **settings: Any) -> None:
    """Create a study."""
    recipe = ["--space", "recipe.yaml", *tiny_flags(**settings)]
    must("study", "create", "--architecture", "siamese", "--name", name, *recipe)


def test_a_paused_study_gives_out_neither_new_work_nor_anothers(db: Database) -> None:
    study_id = new_study(db, 3)
    must_claim(db, study_id, SILENT)
    pause(db, study_id)
    assert claim(db, study_id, PLAN, "worker") is Idle.PAUSED
    assert len(work_rows(db, study_id)) == 1
    pause(db, study_id, False)
    assert must_claim(db, study_id, PLAN).token == 2
    assert must_claim(db, study_id, PLAN).trial == 1


def pause(db: Database, study_id: int, is_paused: bool = True) -> None:
    name = next(row.name for row in studies.all_studies(db) if row.study_id == study_id)
    studies.set_paused(db, name, is_paused)


def test_it_gives_out_no_test_run(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 1)
    do(sqlite_db, must_claim(sqlite_db, study_id, PLAN))
    pause(sqlite_db, study_id)
    assert claim(sqlite_db, study_id, PLAN, "worker") is Idle.PAUSED
    assert work_rows(sqlite_db, study_id, "test") == []


def test_work_under_way_completes_a_paused_study(sqlite_db: Database) -> None:
    study_id, untested = new_study(sqlite_db, 1), make_plan(n_repeats=0)
    held = must_claim(sqlite_db, study_id, untested)
    pause(sqlite_db, study_id)
    assert claim(sqlite_db, study_id, untested, "other") is Idle.PAUSED
    do(sqlite_db, held)
    assert claim(sqlite_db, study_id, untested, "other") is Idle.COMPLETE


def test_a_complete_study_is_complete_though_paused(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 1)
    play(sqlite_db, study_id, PLAN, "worker")
    pause(sqlite_db, study_id)
    assert claim(sqlite_db, study_id, PLAN, "worker") is Idle.COMPLETE
    studies.extend(
        sqlite_db, next(r.name for r in studies.all_studies(sqlite_db) if r.study_id == study_id), 2
    )
    assert claim(sqlite_db, study_id, PLAN, "worker") is Idle.PAUSED


def test_a_missing_study_cannot_be_paused(sqlite_db: Database) -> None:
    with pytest.raises(StudyMissingError, match="'nobody'"):
        studies.set_paused(sqlite_db, "nobody", True)


def test_the_command_says_so_and_is_done_once(folder: Path) -> None:
    create()
    assert shown()["paused"] is False
    for _ in range(2):
        paused = json.loads(must("study pause tiny --json"))
        assert paused == {"name": "tiny", "paused": True}
        assert shown()["paused"] is True
    assert "searching, paused" in must("study show tiny")
    assert "searching, paused" in must("study list")
    assert json.loads(must("study list --json"))[0]["paused"] is True
    for _ in range(2):
        resumed = json.loads(must("study resume tiny --json"))
        assert resumed == {"name": "tiny", "paused": False}
    assert "paused" not in must("study show tiny")
    assert hpo("study pause nobody").code == 3


def shown() -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(must("study show tiny --json"))
    return shown


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_worker_ends_its_trial_waits_and_goes_on(folder: Path) -> None:
    create(trials=3, repeats=1, epochs=300, pruner="none")
    log = folder / "log"
    with worker("--study", "tiny", "--processes", "1", log=log) as process:
        wait_until(lambda: shown()["trials"]["running"] == 1)
        must("study pause tiny")
        wait_until(lambda: shown()["trials"]["running"] == 0)
        ended = shown()["trials"]["complete"]
        assert ended < 3, "the study was paused too late"
        threading.Event().wait(2.0)  # idle workers ask at least each second
        trials = shown()["trials"]
        assert (trials["complete"], trials["running"]) == (ended, 0)
        assert process.poll() is None
        assert log.read_text().count("warning: study tiny is paused; ") == 1
        must("study resume tiny")
        assert process.wait(TIMEOUT_S) == 0
    assert shown()["state"] == "complete"
    must("storage check")


def test_a_worker_of_any_study_leaves_paused_ones_alone(folder: Path) -> None:
    create(trials=1, repeats=1)
    create("other", trials=1, repeats=1)
    must("study pause tiny")
    must("worker --processes 1")
    states = {each["name"]: each["state"] for each in json.loads(must("study list --json"))}
    assert states == {"tiny": "searching", "other": "complete"}


def test_a_worker_of_any_study_leaves_one_in_others_hands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "LONGEST_POLL_S", 0.01)
    create("held", trials=1)
    create("free", trials=1)
    db = Database("sqlite:///hpo.db")
    must_claim(db, studies.get(db, "held").study_id, make_plan(planned=(), lease_s=3600))
    db.close()
    must("worker --processes 1 --max-trials 1 --timeout 60")
    shown = {name: json.loads(must(f"study show {name} --json")) for name in ("held", "free")}
    assert shown["held"]["trials"]["running"] == 1
    assert shown["free"]["trials"]["complete"] == 1
