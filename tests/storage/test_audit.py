"""The audit finds every contradiction between Optuna's tables and ours, and no other."""

from dataclasses import replace

import pytest
import sqlalchemy as sa
from optuna.storages._rdb import models as optuna_tables

from storage import audit, studies
from storage.audit.rows import snapshot
from storage.engine import Database
from storage.errors import StudyMissingError
from storage.leases import Result, record, release
from storage.tables import hpo_claims, hpo_studies, hpo_trainings
from tests.support.storage_checks import url_of, work_rows
from tests.support.storage_kills import FORKS, JOIN_S
from tests.support.storage_worker import (
    N_FOLDS,
    OVER_S,
    do,
    give_parameters,
    make_plan,
    must_claim,
    new_study,
    play,
    play_at,
    training,
)


PLAN = make_plan(n_repeats=2)
TRIALS = optuna_tables.TrialModel.__table__
VALUES = optuna_tables.TrialValueModel.__table__
COMPLETE, PRUNED, FAILED, LIVE = range(4)
"""What became of the trials of `worked_on`, by number."""


def told(db: Database, study_id: int) -> list[str]:
    return audit.differences(db, study_id, audit.Rules(n_folds=N_FOLDS))


def worked_on(db: Database) -> int:
    """A study with a trial in each state, and test runs of the first one; gives its id."""
    study_id = new_study(db, 1)
    play(db, study_id, PLAN, "worker")
    name = next(row.name for row in studies.all_studies(db) if row.study_id == study_id)
    studies.extend(db, name, 5)
    folds = [training(fold, [0.5]) for fold in range(N_FOLDS)]
    pruned = Result(outcome="pruned", error=0.5, n_parameters=7, n_epochs=1, trainings=folds)
    for result in (pruned, Result(outcome="failed", failure="out of memory")):
        held = must_claim(db, study_id, PLAN)
        give_parameters(db, held)
        record(db, held, result)
    must_claim(db, study_id, PLAN)
    return study_id


def execute(db: Database, *statements: sa.Executable) -> None:
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(statement)


def trial_id(db: Database, study_id: int, number: int) -> int:
    return db.optuna.get_all_trials(study_id)[number]._trial_id


def test_a_study_with_work_in_every_state_is_consistent(db: Database) -> None:
    assert told(db, new_study(db, 3)) == []
    study_id = worked_on(db)
    assert [row.state for row in work_rows(db, study_id)] == [
        "complete",
        "pruned",
        "failed",
        "live",
    ]
    assert told(db, study_id) == []


def test_work_given_back_taken_over_or_given_up_is_consistent(db: Database) -> None:
    study_id, silent = new_study(db, 3), make_plan(max_attempts=1, lease_s=OVER_S)
    must_claim(db, study_id, silent)
    release(db, must_claim(db, study_id, silent))
    assert told(db, study_id) == []
    do(db, must_claim(db, study_id, PLAN))
    assert told(db, study_id) == []
    play(db, study_id, PLAN, "worker")
    assert told(db, study_id) == []
    assert "failed" in {row.state for row in work_rows(db, study_id)}


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("state", "FAIL", "trial 0: the state is COMPLETE in hpo's tables, FAIL in Optuna's"),
        ("state", "RUNNING", "trial 0: the state is COMPLETE in hpo's tables, RUNNING in Optuna's"),
        ("number", 3, "trial 0 is missing in Optuna's tables"),
        ("number", 3, "trial 3 occurs 2 times in Optuna's tables"),
        ("number", 9, "trial 9 in Optuna's tables was never given out"),
    ],
)
def test_a_trial_that_optuna_tells_otherwise(
    sqlite_db: Database, column: str, value: object, finding: str
) -> None:
    study_id = worked_on(sqlite_db)
    of_trial = TRIALS.c.trial_id == trial_id(sqlite_db, study_id, COMPLETE)
    execute(sqlite_db, sa.update(TRIALS).where(of_trial).values({column: value}))
    assert finding in told(sqlite_db, study_id)


@pytest.mark.parametrize(
    ("number", "column", "value", "finding"),
    [
        (COMPLETE, "trial", 9, "trial 0 is missing in hpo's tables"),
        (COMPLETE, "trial", 9, "trial 9 in hpo's tables was never given out"),
        (COMPLETE, "trial", 9, "test run 1 of trial 0: that trial is not complete"),
        (
            COMPLETE,
            "token",
            7,
            "trial 0 has trainings by another worker than the last that held it",
        ),
        (COMPLETE, "state", "failed", "trial 0 is failed with trainings of the folds [0, 1]"),
        (COMPLETE, "state", "pruned", "test run 0 of trial 0: that trial is not complete"),
        (FAILED, "state", "complete", "trial 2 is complete with trainings of the folds []"),
        (
            LIVE,
            "state",
            "failed",
            "trial 3: the state is FAIL in hpo's tables, RUNNING in Optuna's",
        ),
    ],
)
def test_work_that_we_tell_otherwise(
    sqlite_db: Database, number: int, column: str, value: object, finding: str
) -> None:
    study_id = worked_on(sqlite_db)
    row = work_rows(sqlite_db, study_id)[number]
    execute(
        sqlite_db, sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values({column: value})
    )
    assert finding in told(sqlite_db, study_id)


@pytest.mark.parametrize(
    ("number", "changes", "findings"),
    [
        (FAILED, {"failure": None}, ["trial 2 failed without a reason"]),
        (FAILED, {"failure": ""}, ["trial 2 failed without a reason"]),
        (FAILED, {"error": 0.5}, ["trial 2 is failed, but has the error 0.5"]),
        (LIVE, {"error": 0.5}, ["trial 3 is live, but has the error 0.5"]),
        (
            LIVE,
            {"expires_at": 1e15},
            ["trial 3: the lease ends later than any lease can end now"],
        ),
        (LIVE, {"claimed_at": 1e15}, ["trial 3 was claimed in the future"]),
        (LIVE, {"token": 1, "n_attempts": 3}, ["trial 3 has the token 1 after 3 attempts"]),
        (PRUNED, {"n_epochs": 5}, ["trial 1 has 5 epochs, but curves of 1, 1"]),
    ],
)
def test_work_that_contradicts_itself(
    db: Database, number: int, changes: dict[str, object], findings: list[str]
) -> None:
    study_id = worked_on(db)
    row = work_rows(db, study_id)[number]
    execute(db, sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(changes))
    assert [each for each in told(db, study_id) if "before the work" not in each] == findings


def test_a_training_that_differs_from_its_digest(db: Database) -> None:
    study_id = worked_on(db)
    row = work_rows(db, study_id, "test")[1]
    of_work = hpo_trainings.c.claim_id == row.id
    execute(db, sa.update(hpo_trainings).where(of_work).values(curve="[0.5, 0.151]"))
    assert "test run 1 of trial 0, fold 0 differs from its digest: one of them was changed" in told(
        db, study_id
    )
    execute(db, sa.update(hpo_trainings).where(of_work).values(digest=None, curve="[0.5]"))
    assert not any("digest" in each for each in told(db, study_id))


@pytest.mark.parametrize("number", [COMPLETE, PRUNED])
def test_an_error_that_differs_or_is_lost(sqlite_db: Database, number: int) -> None:
    study_id = worked_on(sqlite_db)
    row = work_rows(sqlite_db, study_id)[number]
    error = f"trial {number}: the error is {row.error} in hpo's tables"
    of_trial = VALUES.c.trial_id == row.trial_id
    execute(sqlite_db, sa.update(VALUES).where(of_trial).values(value=0.875))
    assert told(sqlite_db, study_id) == [f"{error}, 0.875 in Optuna's"]
    execute(sqlite_db, sa.delete(VALUES).where(of_trial))
    assert told(sqlite_db, study_id) == [f"{error}, None in Optuna's"]


def test_a_trial_that_has_another_id(sqlite_db: Database) -> None:
    study_id = worked_on(sqlite_db)
    row = work_rows(sqlite_db, study_id)[PRUNED]
    execute(sqlite_db, sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(trial_id=0))
    assert told(sqlite_db, study_id) == [
        f"trial 1: Optuna's id is 0 in hpo's tables, {row.trial_id} in Optuna's"
    ]


def test_a_claim_that_is_lost(sqlite_db: Database) -> None:
    study_id = worked_on(sqlite_db)
    row = work_rows(sqlite_db, study_id)[LIVE]
    execute(sqlite_db, sa.delete(hpo_claims).where(hpo_claims.c.id == row.id))
    assert told(sqlite_db, study_id) == ["trial 3 is missing in hpo's tables"]


@pytest.mark.parametrize("kind", ["trial", "test"])
def test_a_training_that_is_lost(sqlite_db: Database, kind: str) -> None:
    study_id = worked_on(sqlite_db)
    row = work_rows(sqlite_db, study_id, kind)[0]
    of_work = (hpo_trainings.c.claim_id == row.id, hpo_trainings.c.fold == 0)
    execute(sqlite_db, sa.delete(hpo_trainings).where(*of_work))
    left = "[1]" if kind == "trial" else "[]"
    (finding,) = told(sqlite_db, study_id)
    assert finding.endswith(f"is complete with trainings of the folds {left}")


@pytest.mark.parametrize(
    ("column", "value", "finding"),
    [
        ("choice", FAILED, "the chosen trial 2 is not complete"),
        ("n_started", 3, "trial 3 in hpo's tables was never given out"),
        ("n_started", 5, "trial 4 is missing in Optuna's tables"),
        ("n_trials", 3, "4 trials were started, but the study should have 3"),
    ],
)
def test_a_study_that_tells_otherwise(
    sqlite_db: Database, column: str, value: int, finding: str
) -> None:
    study_id = worked_on(sqlite_db)
    of_study = hpo_studies.c.study_id == study_id
    execute(sqlite_db, sa.update(hpo_studies).where(of_study).values({column: value}))
    assert finding in told(sqlite_db, study_id)


def test_trials_with_one_configuration_are_one_candidate(sqlite_db: Database) -> None:
    same = {"x": 0.5, "y": 0.5}
    planned = (same, same, {"x": 0.25, "y": 0.75})
    plan = replace(make_plan(planned=planned), key=lambda params: params["x"])
    study_id = new_study(sqlite_db, 3)
    for error in (0.4, 0.1, 0.2):
        held = must_claim(sqlite_db, study_id, plan)
        give_parameters(sqlite_db, held)
        folds = [training(fold, [error]) for fold in range(N_FOLDS)]
        done = Result(outcome="complete", error=error, n_parameters=7, n_epochs=1, trainings=folds)
        record(sqlite_db, held, done)
    play(sqlite_db, study_id, plan, "worker")
    rules = audit.Rules(n_folds=N_FOLDS, key=plan.key)
    assert audit.differences(sqlite_db, study_id, rules) == []
    best = "the chosen trial 2 is not the best; trial 1 has the least error"
    assert best in told(sqlite_db, study_id)


def test_a_test_run_that_stands_twice(postgresql_url: str) -> None:
    """Only where something has taken the constraint away that keeps it from happening."""
    db = Database(postgresql_url, create=True)
    study_id = worked_on(db)
    row = work_rows(db, study_id, "test")[1]
    twice = row._asdict() | {"id": row.id + 100, "part": 0}
    execute(
        db,
        sa.text("ALTER TABLE hpo_claims DROP CONSTRAINT uq_hpo_claims_work"),
        sa.insert(hpo_claims).values(twice),
    )
    assert "test run 0 of trial 0 occurs 2 times in hpo's tables" in told(db, study_id)
    db.close()


def test_a_deleted_study_is_told(db: Database) -> None:
    study_id = new_study(db, 1)
    db.optuna.delete_study(study_id)
    with pytest.raises(StudyMissingError):
        told(db, study_id)


@pytest.mark.chaos
@pytest.mark.short_on("sqlite")
def test_workers_at_work_cause_no_findings(db: Database) -> None:
    study_id, plan = new_study(db, 30), make_plan(n_repeats=5)
    calls = [(url_of(db), study_id, plan, f"worker {n}") for n in range(2)]
    workers = [FORKS.Process(target=play_at, args=call) for call in calls]
    for worker in workers:
        worker.start()
    states, findings = set(), []
    while any(worker.is_alive() for worker in workers):
        findings += told(db, study_id)
        states |= {row.state for row in work_rows(db, study_id)}
    for worker in workers:
        worker.join(JOIN_S)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert findings == []
    assert "live" in states, "nothing was under way while it was audited"
    assert told(db, study_id) == []
    assert len(work_rows(db, study_id)) == 30


def test_an_audit_holds_nobody_up_and_changes_nothing(db: Database) -> None:
    study_id = worked_on(db)
    rows = work_rows(db, study_id)
    other = Database(url_of(db))
    with snapshot(db) as connection:
        n_live = sa.select(sa.func.count()).where(
            hpo_claims.c.study_id == study_id, hpo_claims.c.state == "live"
        )
        assert connection.execute(n_live).scalar() == 1
        held = must_claim(other, study_id, make_plan())
        assert connection.execute(n_live).scalar() == 1
    assert held.trial == 4
    assert work_rows(db, study_id)[:4] == rows
    other.close()
