"""Entering, reading, extending and deleting studies."""

import dataclasses

import optuna
import pytest
from optuna.study import StudyDirection

from storage import orphans, studies
from storage.claims import claim
from storage.engine import Database
from storage.errors import LeaseLostError, OrphanError, StudyExistsError, StudyMissingError
from storage.leases import Result, TrainingRecord, record, report
from tests.support.storage_checks import check_finished, url_of
from tests.support.storage_worker import (
    OVER_S,
    PLANNED,
    do,
    drawn,
    give_parameters,
    make_plan,
    must_claim,
    new_study,
    play,
)


PLAN = make_plan()


def name_of(db: Database, study_id: int) -> str:
    return next(row.name for row in studies.all_studies(db) if row.study_id == study_id)


def test_a_study_is_found_as_it_was_entered(db: Database) -> None:
    protocol = '{"note": "' + "ä€😀" * 30_000 + '"}'
    study_id = studies.add(db, "entered", protocol, 7)
    row = studies.get(db, "entered")
    assert (row.study_id, row.name, row.protocol) == (study_id, "entered", protocol)
    assert (row.n_trials, row.n_started, row.choice) == (7, 0, None)
    assert optuna.load_study(study_name="entered", storage=db.optuna).trials == []


def test_studies_are_listed_the_oldest_first(db: Database) -> None:
    entered = [new_study(db, 1) for _ in range(3)]
    listed = [row.study_id for row in studies.all_studies(db)]
    assert listed[-3:] == entered
    assert listed == sorted(listed)


@pytest.mark.parametrize("name", ["siamese", "with space", "ünï-cødé", "it's; --", "50%{}"])
def test_a_name_is_kept_as_it_is(db: Database, name: str) -> None:
    study_id = studies.add(db, name, "{}", 1)
    assert name_of(db, study_id) == name
    assert studies.get(db, name).study_id == study_id


def test_a_name_is_given_once(db: Database) -> None:
    study_id = studies.add(db, "twice", "{}", 1)
    with pytest.raises(StudyExistsError, match="'twice'"):
        studies.add(db, "twice", '{"other": 1}', 2)
    row = studies.get(db, "twice")
    assert (row.study_id, row.protocol, row.n_trials) == (study_id, "{}", 1)


def test_another_programs_study_is_left_alone(db: Database) -> None:
    foreign = db.optuna.create_new_study([StudyDirection.MAXIMIZE], "foreign")
    with pytest.raises(StudyExistsError, match="'foreign'"):
        studies.add(db, "foreign", "{}", 1)
    with pytest.raises(StudyMissingError):
        studies.get(db, "foreign")
    with pytest.raises(StudyMissingError):
        studies.delete(db, "foreign")
    assert foreign not in {row.study_id for row in studies.all_studies(db)}
    assert db.optuna.get_study_directions(foreign) == [StudyDirection.MAXIMIZE]


def test_a_missing_study_is_named(sqlite_db: Database) -> None:
    for action in (
        studies.get,
        studies.delete,
        lambda sqlite_db, name: studies.extend(sqlite_db, name, 3),
    ):
        with pytest.raises(StudyMissingError, match="'nobody'"):
            action(sqlite_db, "nobody")


def test_a_budget_grows_and_never_shrinks(sqlite_db: Database) -> None:
    name = name_of(sqlite_db, new_study(sqlite_db, 2))
    studies.extend(sqlite_db, name, 5)
    assert studies.get(sqlite_db, name).n_trials == 5
    with pytest.raises(ValueError, match="cannot be lowered"):
        studies.extend(sqlite_db, name, 4)
    assert studies.get(sqlite_db, name).n_trials == 5


def test_a_budget_set_again_changes_no_choice(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 1)
    play(sqlite_db, study_id, PLAN, "worker")
    name = name_of(sqlite_db, study_id)
    studies.extend(sqlite_db, name, 1)
    assert studies.get(sqlite_db, name).choice == 0
    studies.extend(sqlite_db, name, 2)
    assert studies.get(sqlite_db, name).choice is None


def test_a_deleted_study_leaves_nothing_and_others_alone(db: Database) -> None:
    gone, kept = new_study(db, 1), new_study(db, 1)
    for study_id in (gone, kept):
        play(db, study_id, PLAN, "worker")
    name, kept_work = name_of(db, gone), studies.work(db, kept)
    studies.delete(db, name)
    with pytest.raises(StudyMissingError):
        studies.get(db, name)
    assert not studies.work(db, gone)
    assert not studies.curves(db, gone)
    assert gone not in {study._study_id for study in db.optuna.get_all_studies()}
    assert [work.id for work in studies.work(db, kept)] == [work.id for work in kept_work]
    assert len(studies.curves(db, kept)) == 3
    studies.add(db, name, "{}", 1)


def test_a_study_deleted_on_the_dashboard_is_gone(db: Database) -> None:
    study_id, dashboard = new_study(db, 2), Database(url_of(db))
    late = must_claim(db, study_id, PLAN)
    name = name_of(db, study_id)
    dashboard.optuna.delete_study(study_id)
    dashboard.close()
    with pytest.raises(StudyMissingError):
        claim(db, study_id, PLAN, "worker")
    for action in (studies.get, studies.delete):
        with pytest.raises(StudyMissingError):
            action(db, name)
    assert study_id not in {row.study_id for row in studies.all_studies(db)}
    with pytest.raises(OrphanError, match=f"hpo storage purge {name} --yes"):
        studies.add(db, name, "{}", 1)
    orphans.purge(db, name)
    anew = studies.add(db, name, "{}", 1)
    assert studies.work(db, anew) == []
    play(db, anew, PLAN, "worker")
    with pytest.raises(LeaseLostError):
        report(db, late, n_epochs=1, errors={1: 0.5})
    check_finished(db, anew, PLAN, 1)


def test_work_is_told_as_it_stands(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 3)
    do(sqlite_db, must_claim(sqlite_db, study_id, PLAN, "first"))
    failed = Result(outcome="failed", failure="Traceback: 5 € → 😀")
    record(sqlite_db, must_claim(sqlite_db, study_id, PLAN, "second"), failed)
    report(sqlite_db, must_claim(sqlite_db, study_id, PLAN, "third"), n_epochs=1, errors={1: 0.5})
    work = studies.work(sqlite_db, study_id)
    assert [(w.kind, w.trial, w.part) for w in work] == [("trial", n, -1) for n in range(3)]
    assert [w.state for w in work] == ["complete", "failed", "live"]
    assert [w.worker for w in work] == ["first", "second", "third"]
    assert [w.n_epochs for w in work] == [2, 0, 1]
    assert [w.failure for w in work] == [None, "Traceback: 5 € → 😀", None]
    assert [w.error is None for w in work] == [False, True, True]
    assert all(w.n_attempts == 1 and 0 <= w.since_s < 60 for w in work)


def test_trials_stand_before_test_runs(sqlite_db: Database) -> None:
    study_id = new_study(sqlite_db, 2)
    play(sqlite_db, study_id, make_plan(n_repeats=2), "worker")
    work = [(w.kind, w.trial, w.part) for w in studies.work(sqlite_db, study_id)]
    chosen = studies.get(sqlite_db, name_of(sqlite_db, study_id)).choice
    trials = [("trial", 0, -1), ("trial", 1, -1)]
    assert work == [*trials, ("test", chosen, 0), ("test", chosen, 1)]


def test_only_a_live_worker_whose_lease_ran_out_is_silent(db: Database) -> None:
    study_id, silent = new_study(db, 3), make_plan(lease_s=OVER_S)
    late = must_claim(db, study_id, silent, "late")
    do(db, late)
    must_claim(db, study_id, PLAN, "busy")
    silenced = must_claim(db, study_id, PLAN, "silent")
    report(db, dataclasses.replace(silenced, lease_s=OVER_S), n_epochs=0)
    assert [w.is_silent for w in studies.work(db, study_id)] == [False, False, True]


def test_each_training_keeps_its_curve(db: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, PLAN)
    curves = {0: (0.5, 0.25, 0.1), 1: (1 / 3, 2 / 3, 0.0)}
    trainings = [
        TrainingRecord(fold=fold, curve=curve, train_s=1.5, versions='{"torch": "2"}')
        for fold, curve in curves.items()
    ]
    record(db, held, Result(outcome="complete", error=0.05, trainings=trainings))
    first, second = studies.curves(db, study_id)
    assert (first.curve, second.curve) == (curves[0], curves[1])
    assert (first.error, second.error) == (0.1, 0.0)
    assert {(c.claim_id, c.train_s, c.versions) for c in (first, second)} == {
        (held.id, 1.5, '{"torch": "2"}')
    }


def test_parameters_are_told_by_trial_as_others_wrote_them(db: Database) -> None:
    study_id = new_study(db, 3)
    assert studies.parameters(db, study_id) == {}
    other = Database(url_of(db))
    held = [must_claim(other, study_id, PLAN, "other") for _ in range(2)]
    give_parameters(other, held[0])
    assert studies.parameters(db, study_id) == {0: PLANNED[0], 1: {}}
    give_parameters(other, held[1])
    other.close()
    assert studies.parameters(db, study_id) == {0: PLANNED[0], 1: drawn(held[1])}
