"""What workers may rely on when they share a study."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from storage import studies
from storage.claims import Idle, claim
from storage.engine import Database
from storage.errors import LeaseLostError, StudyMissingError, UnreachableError
from storage.leases import Result, record, release, report, write_parameters
from tests.support.storage_checks import (
    check_finished,
    url_of,
    work_rows,
)
from tests.support.storage_kills import run_together
from tests.support.storage_worker import (
    OVER_S,
    PLANNED,
    do,
    drawn,
    error_of,
    give_parameters,
    judge_of,
    make_plan,
    measure,
    must_claim,
    new_study,
    play,
    play_at,
    report_last,
    train,
    training,
)


PLAN = make_plan()
SILENT = make_plan(lease_s=OVER_S)
UNPLANNED = make_plan(planned=())


def finished(error: float) -> Result:
    return Result(outcome="complete", error=error, trainings=[training(0, [error])])


def finish_trial(db: Database, study_id: int, error: float) -> None:
    record(db, must_claim(db, study_id, UNPLANNED), finished(error))


def name_of(db: Database, study_id: int) -> str:
    return next(row.name for row in studies.all_studies(db) if row.study_id == study_id)


@pytest.mark.chaos
@pytest.mark.short_on("postgresql")
def test_many_workers_do_exactly_the_budget(db: Database) -> None:
    study_id, plan = new_study(db, 40), make_plan(n_repeats=3)
    calls = [(url_of(db), study_id, plan, f"worker {n}") for n in range(8)]
    assert run_together(play_at, calls) == [0] * 8
    check_finished(db, study_id, plan, 40)
    workers = {row.worker for row in work_rows(db, study_id)}
    assert len(workers) > 1


def test_planned_trials_come_first_in_their_order(db: Database, other: Database) -> None:
    plan = make_plan(planned=({"x": 0.5, "y": 0.5}, {"x": 0.125, "y": 0.875}))
    study_id = new_study(db, 3)
    for place in (db, other, db):
        do(place, must_claim(place, study_id, plan))
    parameters = studies.parameters(db, study_id)
    assert [parameters[0], parameters[1]] == list(plan.planned)
    assert parameters[2] not in plan.planned


def test_a_live_claim_is_shared_with_nobody(db: Database, other: Database) -> None:
    study_id = new_study(db, 2)
    first, second = must_claim(db, study_id, PLAN), must_claim(other, study_id, PLAN)
    assert (first.trial, second.trial) == (0, 1)
    assert claim(db, study_id, PLAN, "third") is Idle.WAIT


def test_a_worker_waits_while_another_holds_the_last_test_run(db: Database) -> None:
    study_id = new_study(db, 1)
    finish_trial(db, study_id, 0.5)
    held = must_claim(db, study_id, PLAN)
    assert held.kind == "test"
    assert claim(db, study_id, PLAN, "idle") is Idle.WAIT
    record(db, held, measure(held))
    assert claim(db, study_id, PLAN, "idle") is Idle.COMPLETE


def test_a_stale_worker_writes_nothing(db: Database, other: Database) -> None:
    study_id = new_study(db, 1)
    stale = must_claim(db, study_id, SILENT, "stale")
    taker = must_claim(other, study_id, PLAN, "taker")
    assert (taker.trial, taker.id, taker.token) == (stale.trial, stale.id, stale.token + 1)
    drawn_late = {name: (x, FloatDistribution(0.0, 1.0)) for name, x in drawn(stale).items()}
    with pytest.raises(LeaseLostError):
        write_parameters(db, stale, drawn_late, {"late": True}, {"sampler": "late"})
    with pytest.raises(LeaseLostError):
        report(db, stale, n_epochs=1, errors={1: 0.1}, judge=lambda: pytest.fail("judged"))
    with pytest.raises(LeaseLostError):
        record(db, stale, finished(0.1))
    with pytest.raises(LeaseLostError):
        release(db, stale)
    trial = db.optuna.get_trial(stale.trial_id)
    assert (trial.params, trial.user_attrs, trial.intermediate_values) == ({}, {}, {})
    assert trial.system_attrs.keys() == {"fixed_params"}
    do(other, taker)
    play(other, study_id, PLAN, "taker")
    check_finished(db, study_id, PLAN, 1)


def test_work_that_ends_every_worker_fails_and_the_study_goes_on(db: Database) -> None:
    study_id, plan = new_study(db, 2), make_plan(max_attempts=2, lease_s=OVER_S)
    attempts = [must_claim(db, study_id, plan, f"victim {n}") for n in range(2)]
    assert [(held.trial, held.token) for held in attempts] == [(0, 1), (0, 2)]
    play(db, study_id, make_plan(max_attempts=2), "survivor")
    check_finished(db, study_id, plan, 2)
    failed, done = work_rows(db, study_id)
    assert (failed.state, done.state) == ("failed", "complete")
    assert "2 attempts" in failed.failure
    assert "victim 1" in failed.failure
    assert db.optuna.get_trial(failed.trial_id).state == TrialState.FAIL


def test_the_last_victim_of_work_given_up_learns_that_it_lost_it(db: Database) -> None:
    study_id, plan = new_study(db, 1), make_plan(max_attempts=1, lease_s=OVER_S)
    slow = must_claim(db, study_id, plan, "slow")
    assert claim(db, study_id, plan, "other") is Idle.COMPLETE
    with pytest.raises(LeaseLostError):
        record(db, slow, finished(0.1))


def test_a_deadly_test_run_fails_and_the_study_ends(db: Database) -> None:
    study_id, plan = new_study(db, 1), make_plan(max_attempts=1, lease_s=OVER_S)
    finish_trial(db, study_id, 0.5)
    must_claim(db, study_id, plan)
    assert claim(db, study_id, plan, "other") is Idle.COMPLETE
    assert [row.state for row in work_rows(db, study_id, "test")] == ["failed"]


def test_a_takeover_keeps_parameters_and_forgets_reports(db: Database, other: Database) -> None:
    study_id = new_study(db, 2)
    silent = must_claim(db, study_id, make_plan(planned=(), lease_s=OVER_S), "silent")
    x = give_parameters(db, silent)
    report_last(db, silent, [x], judge_of(db, silent))
    before = db.optuna.get_trial(silent.trial_id)
    assert before.intermediate_values
    assert "completed_rung_0" in before.system_attrs
    taker = must_claim(other, study_id, UNPLANNED, "taker")
    after = other.optuna.get_trial(taker.trial_id)
    assert taker.trial_id == silent.trial_id
    assert after.params == before.params == drawn(silent)
    assert after.user_attrs == {"by": "silent"}
    assert after.intermediate_values == {}
    assert "completed_rung_0" not in after.system_attrs
    assert [work.n_epochs for work in studies.work(db, study_id)] == [0]


def test_a_trial_begun_elsewhere_can_be_given_its_parameters(db: Database) -> None:
    study_id = new_study(db, 1)
    must_claim(db, study_id, SILENT, "silent")
    newcomer = Database(url_of(db))
    held = must_claim(newcomer, study_id, PLAN, "newcomer")
    assert give_parameters(newcomer, held) == PLANNED[0]["x"]
    newcomer.close()
    assert studies.parameters(db, study_id) == {0: PLANNED[0]}


def test_a_result_recorded_again_counts_once(db: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, PLAN)
    result = train(db, held, give_parameters(db, held))
    record(db, held, result)
    record(db, held, result)
    play(db, study_id, PLAN, "worker")
    check_finished(db, study_id, PLAN, 1)


@pytest.mark.parametrize(
    ("errors", "chosen"), [([0.3, 0.1, 0.2], 1), ([0.2, 0.1, 0.1], 1), ([0.1, 0.1, 0.1], 0)]
)
def test_the_best_trial_is_chosen_and_of_equals_the_first(
    db: Database, errors: list[float], chosen: int
) -> None:
    study_id = new_study(db, len(errors))
    for error in errors:
        finish_trial(db, study_id, error)
    held = must_claim(db, study_id, PLAN)
    assert (held.kind, held.trial, held.part) == ("test", chosen, 0)
    assert studies.get(db, name_of(db, study_id)).choice == chosen


def test_a_pruned_or_failed_trial_is_never_chosen(db: Database) -> None:
    study_id = new_study(db, 3)
    for result in (
        Result(outcome="pruned", error=0.0),
        Result(outcome="failed", failure="out of memory"),
        finished(0.5),
    ):
        record(db, must_claim(db, study_id, UNPLANNED), result)
    assert must_claim(db, study_id, UNPLANNED).trial == 2
    trials = db.optuna.get_all_trials(study_id)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.COMPLETE]
    assert [trial.state for trial in trials] == states
    assert [row.failure for row in work_rows(db, study_id)] == [None, "out of memory", None]


def test_a_study_without_a_complete_trial_ends_without_test_runs(db: Database) -> None:
    study_id = new_study(db, 1)
    failed = Result(outcome="failed", failure="it cannot be trained")
    record(db, must_claim(db, study_id, PLAN), failed)
    assert claim(db, study_id, PLAN, "worker") is Idle.COMPLETE
    assert work_rows(db, study_id, "test") == []


def test_an_extended_study_chooses_again_and_keeps_test_runs(db: Database) -> None:
    study_id = new_study(db, 1)
    finish_trial(db, study_id, 0.5)
    play(db, study_id, PLAN, "worker")
    studies.extend(db, name_of(db, study_id), 2)
    finish_trial(db, study_id, 0.25)
    play(db, study_id, PLAN, "worker")
    tests = [(row.trial, row.state) for row in work_rows(db, study_id, "test")]
    assert tests == [(0, "complete"), (1, "complete")]
    assert studies.get(db, name_of(db, study_id)).choice == 1


@pytest.mark.parametrize("by", ["hpo", "Optuna's dashboard"])
def test_a_study_deleted_under_a_worker_stops_it(db: Database, other: Database, by: str) -> None:
    study_id = new_study(db, 2)
    held = must_claim(db, study_id, PLAN)
    if by == "hpo":
        studies.delete(other, name_of(db, study_id))
    else:
        other.optuna.delete_study(study_id)
    for write in (
        lambda: write_parameters(db, held, {"x": (0.5, FloatDistribution(0.0, 1.0))}, {}, {}),
        lambda: report(db, held, n_epochs=1, errors={1: 0.5}),
        lambda: record(db, held, finished(0.1)),
        lambda: release(db, held),
    ):
        with pytest.raises(LeaseLostError):
            write()
    with pytest.raises(StudyMissingError):
        claim(db, study_id, PLAN, "worker")


def test_a_trial_that_another_program_ends_stays_as_it_left_it(
    db: Database, other: Database
) -> None:
    study_id = new_study(db, 2)
    held = must_claim(db, study_id, SILENT)
    other.optuna.set_trial_state_values(held.trial_id, TrialState.FAIL)
    with pytest.raises(LeaseLostError):
        record(db, held, finished(0.1))
    play(db, study_id, PLAN, "worker")
    check_finished(db, study_id, PLAN, 2)
    ended, done = work_rows(db, study_id)
    assert (ended.state, done.state) == ("failed", "complete")
    assert "another program ended this trial" in ended.failure


def test_a_worker_of_a_deleted_study_cannot_write_to_the_next(
    db: Database, other: Database
) -> None:
    study_id = new_study(db, 1)
    late = must_claim(db, study_id, PLAN)
    studies.delete(other, name_of(db, study_id))
    next_id = new_study(other, 1)
    must_claim(other, next_id, PLAN)
    with pytest.raises(LeaseLostError):
        record(db, late, finished(0.1))


def test_a_rollback_by_optuna_is_not_silent(db: Database) -> None:
    study_id = new_study(db, 1)
    finish_trial(db, study_id, 0.5)
    name = name_of(db, study_id)
    with (
        pinned(db, study_id),
        pytest.raises(UnreachableError, match="rolled back"),
        db.errors_translated(),
        db.transaction(),
    ):
        db.optuna.delete_study(study_id)
    assert studies.get(db, name).study_id == study_id
    assert len(studies.curves(db, study_id)) == 1


@contextmanager
def pinned(db: Database, study_id: int) -> Iterator[None]:
    """Make the database refuse to delete a study of Optuna's, which Optuna passes over."""
    make = [
        "CREATE TABLE pins (pin INTEGER, FOREIGN KEY (pin) REFERENCES studies (study_id))",
        f"INSERT INTO pins (pin) VALUES ({study_id})",  # noqa: S608
    ]
    undo = ["DROP TABLE pins"]
    if db.engine.name == "sqlite":  # which does not look at foreign keys by itself
        make.append(
            "CREATE TRIGGER pinned BEFORE DELETE ON studies "
            "WHEN old.study_id IN (SELECT pin FROM pins) "
            "BEGIN SELECT raise(ABORT, 'FOREIGN KEY constraint failed'); END"
        )
        undo.insert(0, "DROP TRIGGER pinned")
    execute(db, make)
    yield
    execute(db, undo)


def execute(db: Database, statements: Sequence[str]) -> None:
    with db.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def test_nothing_of_a_failed_result_is_kept(db: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, PLAN)
    twice = Result(outcome="complete", error=0.5, trainings=[training(0, [0.5])] * 2)
    with pytest.raises(sa.exc.IntegrityError):
        record(db, held, twice)
    assert studies.curves(db, study_id) == []
    assert db.optuna.get_trial(held.trial_id).state == TrialState.RUNNING
    record(db, held, finished(error_of(0.5, 1, 1)))
    assert [row.state for row in work_rows(db, study_id)] == ["complete"]
