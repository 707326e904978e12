"""A renamed study is the same study, whoever renamed it."""

import io
import json
from typing import Any

import optuna_dashboard
import pytest
import sqlalchemy as sa

from storage import audit, orphans, renaming, studies
from storage.engine import Database
from storage.errors import (
    LeaseLostError,
    OrphanError,
    StudyBusyError,
    StudyExistsError,
    StudyMissingError,
)
from storage.leases import release, report
from tests.support.storage_checks import check_finished, url_of, work_rows
from tests.support.storage_worker import (
    N_FOLDS,
    do,
    make_plan,
    must_claim,
    new_study,
    play,
)


PLAN = make_plan(n_repeats=2)


def name_of(db: Database, study_id: int) -> str:
    return next(row.name for row in studies.all_studies(db) if row.study_id == study_id)


def finished_study(db: Database) -> tuple[str, list[int]]:
    """A complete study of two trials; its name and the ids of its work."""
    study_id = new_study(db, 2)
    play(db, study_id, PLAN, "worker")
    return name_of(db, study_id), [work.id for work in studies.work(db, study_id)]


def rename_in_dashboard(db: Database, name: str, new_name: str) -> None:
    """What optuna-dashboard does, without the guard of `hpo dashboard`."""
    other = Database(url_of(db))
    body = json.dumps({"study_name": new_name}).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": f"/api/studies/{studies.get(db, name).study_id}/rename",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
    }
    statuses: list[str] = []
    app = optuna_dashboard.wsgi(other.optuna)
    list(app(environ, lambda status, headers, *more: statuses.append(status)))
    other.close()
    assert statuses == ["201 Created"]


def delete_in_optuna(db: Database, study_id: int) -> None:
    other = Database(url_of(db))
    other.optuna.delete_study(study_id)
    other.close()


def audited(db: Database, name: str) -> list[str]:
    return audit.differences(db, studies.get(db, name).study_id, audit.Rules(n_folds=N_FOLDS))


def test_a_renamed_study_keeps_all_and_its_worker_goes_on(db: Database) -> None:
    study_id, worker = new_study(db, 2), Database(url_of(db))
    do(worker, must_claim(worker, study_id, PLAN))
    old, new = name_of(db, study_id), f"renamed-{study_id}"
    renaming.rename(db, old, new)
    assert studies.get(db, new).study_id == study_id
    assert db.optuna.get_study_name_from_id(study_id) == new
    with pytest.raises(StudyMissingError, match=old):
        studies.get(db, old)
    play(worker, study_id, PLAN, "worker")
    worker.close()
    check_finished(db, study_id, PLAN, 2)
    assert studies.add(db, old, "{}", 1) != study_id


def test_the_first_name_is_kept_through_all_others(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 1)
    first = name_of(sqlite_db, study_id)
    assert renaming.names(sqlite_db, study_id) == (first, first)
    for name in ("second", "third"):
        renaming.rename(sqlite_db, name_of(sqlite_db, study_id), name)
        assert renaming.names(sqlite_db, study_id) == (name, first)


def test_a_name_that_is_taken_is_refused(db: Database) -> None:
    name, taken = (name_of(db, new_study(db, 1)) for _ in range(2))
    for wrong in (taken, name):
        with pytest.raises(StudyExistsError, match=wrong):
            renaming.rename(db, name, wrong)
    assert {studies.get(db, each).name for each in (name, taken)} == {name, taken}


def test_a_study_under_work_is_not_renamed_and_a_late_worker_is_fenced(db: Database) -> None:
    study_id = new_study(db, 1)
    name, busy = name_of(db, study_id), must_claim(db, study_id, PLAN, "busy")
    with pytest.raises(StudyBusyError, match=r"by busy; .*pause"):
        renaming.rename(db, name, "other")
    renaming.rename(db, name, f"late-{study_id}", lease_s=-PLAN.lease_s)  # its lease is over
    with pytest.raises(LeaseLostError):
        report(db, busy, n_epochs=1)
    assert must_claim(db, study_id, PLAN, "next").trial == busy.trial


def test_a_study_that_the_dashboard_renamed_is_kept_and_taken_up(db: Database) -> None:
    name, work = finished_study(db)
    new = f"new-{name}"
    rename_in_dashboard(db, name, new)
    with pytest.raises(StudyMissingError, match=f"hpo study rename {name} {new}"):
        studies.get(db, name)
    with pytest.raises(OrphanError, match="2 trials, 2 complete test runs"):
        studies.add(db, name, "{}", 1)
    assert (name, new) in {(each.name, each.now_named) for each in orphans.all_orphans(db)}
    renaming.rename(db, name, new)
    row = studies.get(db, new)
    assert [each.id for each in studies.work(db, row.study_id)] == work
    assert audited(db, new) == []
    assert renaming.names(db, row.study_id) == (new, name)
    studies.extend(db, new, 3)
    play(db, row.study_id, PLAN, "worker")
    assert audited(db, new) == []
    studies.delete(db, new)


def test_unfinished_work_goes_on_after_it_was_taken_up(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 2)
    name, late = name_of(sqlite_db, study_id), must_claim(sqlite_db, study_id, PLAN, "late")
    release(sqlite_db, must_claim(sqlite_db, study_id, PLAN))
    rename_in_dashboard(sqlite_db, name, "unfinished")
    renaming.rename(sqlite_db, name, "unfinished")
    with pytest.raises(LeaseLostError):
        report(sqlite_db, late, n_epochs=1)
    study_id = studies.get(sqlite_db, "unfinished").study_id
    play(sqlite_db, study_id, PLAN, "worker")
    assert audited(sqlite_db, "unfinished") == []
    assert len(work_rows(sqlite_db, study_id)) == 2


def test_a_study_with_other_trials_is_not_taken_for_the_orphan(sqlite_db: Database) -> None:
    (name, _), (other, _) = finished_study(sqlite_db), finished_study(sqlite_db)
    delete_in_optuna(sqlite_db, studies.get(sqlite_db, name).study_id)
    foreign = sqlite_db.optuna.create_new_study([], "foreign")
    for wrong, error in (
        ("foreign", OrphanError),
        (other, StudyExistsError),
        ("nobody", StudyMissingError),
    ):
        with pytest.raises(error):
            renaming.rename(sqlite_db, name, wrong)
    (orphan,) = [each for each in orphans.all_orphans(sqlite_db) if each.name == name]
    assert (orphan.n_trials, orphan.n_tests, orphan.now_named) == (2, 2, None)
    assert audited(sqlite_db, other) == []
    sqlite_db.optuna.delete_study(foreign)


def test_an_orphan_moves_aside_for_a_study_that_gets_its_id(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 2)
    name, late = name_of(sqlite_db, study_id), must_claim(sqlite_db, study_id, PLAN, "late")
    do(sqlite_db, must_claim(sqlite_db, study_id, PLAN))
    delete_in_optuna(sqlite_db, study_id)
    assert studies.add(sqlite_db, f"after {name}", "{}", 2) == study_id, "SQLite gives it out again"
    held = must_claim(sqlite_db, study_id, PLAN, "next")
    assert held.trial_id == late.trial_id
    with pytest.raises(LeaseLostError):
        report(sqlite_db, late, n_epochs=1, errors={1: 0.5})
    assert sqlite_db.optuna.get_trial(held.trial_id).intermediate_values == {}
    (orphan,) = [each for each in orphans.all_orphans(sqlite_db) if each.name == name]
    assert orphan.n_trials == 2
    play_on = make_plan()
    do(sqlite_db, held)
    play(sqlite_db, study_id, play_on, "worker")
    check_finished(sqlite_db, study_id, play_on, 2)
    orphans.purge(sqlite_db, name)
    check_finished(sqlite_db, study_id, play_on, 2)


def test_purging_deletes_an_orphan_and_nothing_else(db: Database) -> None:
    (gone, work), (kept, kept_work) = finished_study(db), finished_study(db)
    delete_in_optuna(db, studies.get(db, gone).study_id)
    orphans.purge(db, gone)
    with pytest.raises(StudyMissingError, match="no study named"):
        orphans.purge(db, gone)
    with pytest.raises(StudyExistsError, match=f"hpo study delete {kept} --yes"):
        orphans.purge(db, kept)
    assert [each.id for each in studies.work(db, studies.get(db, kept).study_id)] == kept_work
    with db.reading() as connection:
        query = sa.text("SELECT count(*) FROM hpo_trainings WHERE claim_id = :id")
        assert connection.execute(query, {"id": work[0]}).scalar_one() == 0
    studies.add(db, gone, "{}", 1)
