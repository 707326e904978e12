"""What workers may rely on when they share a study."""

import dataclasses
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
from storage.leases import Claim, Heartbeat, Result, record, release, report, write_parameters
from storage.tables import clock, hpo_claims
from tests.support.commands import TIMEOUT_S, wait_until
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


@pytest.fixture(scope="module")
def other(db: Database) -> Iterator[Database]:
    """Another worker's view of the database, with a cache of its own."""
    database = Database(url_of(db))
    yield database
    database.close()


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


def test_a_lease_that_ran_out_is_kept_until_it_is_taken(db: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, SILENT)
    do(db, held)
    assert [row.state for row in work_rows(db, study_id)] == ["complete"]


def test_a_clock_that_is_set_back_keeps_nobody_waiting(db: Database, other: Database) -> None:
    study_id = new_study(db, 1)
    dead = must_claim(db, study_id, PLAN, "dead")
    set_clock_back(db, dead, 3600.0)
    for _ in range(2):
        assert claim(other, study_id, PLAN, "taker") is Idle.WAIT
    (row,) = work_rows(db, study_id)
    assert row.expires_at - now(db) <= PLAN.lease_s, "one whole lease by the new clock"
    set_clock_back(db, dead, -PLAN.lease_s)
    taken = must_claim(other, study_id, PLAN, "taker")
    assert (taken.trial, taken.token) == (0, 2)
    with pytest.raises(LeaseLostError):
        report(db, dead, n_epochs=1)


def test_a_living_worker_keeps_its_work_when_the_clock_is_set_back(
    db: Database, other: Database
) -> None:
    study_id = new_study(db, 1)
    alive = must_claim(db, study_id, PLAN, "alive")
    set_clock_back(db, alive, 3600.0)
    assert claim(other, study_id, PLAN, "other") is Idle.WAIT
    report(db, alive, n_epochs=1)
    assert claim(other, study_id, PLAN, "other") is Idle.WAIT
    do(db, alive)
    assert [row.worker for row in work_rows(db, study_id)] == ["alive"]


def set_clock_back(db: Database, held: Claim, by_s: float) -> None:
    """Let a lease end as it would if the database's clock were set back by so much."""
    later = {"expires_at": hpo_claims.c.expires_at + by_s}
    with db.engine.begin() as connection:
        connection.execute(sa.update(hpo_claims).where(hpo_claims.c.id == held.id).values(later))


def now(db: Database) -> float:
    with db.reading() as connection:
        return float(connection.execute(sa.select(clock())).scalar_one())


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


def test_released_work_is_free_at_once_and_costs_no_attempt(db: Database, other: Database) -> None:
    study_id, plan = new_study(db, 1), make_plan(max_attempts=1)
    for _ in range(3):
        release(db, must_claim(db, study_id, plan, "polite"))
    held = must_claim(other, study_id, plan, "taker")
    assert held.trial == 0
    do(other, held)
    (row,) = work_rows(db, study_id)
    assert (row.state, row.worker, row.n_attempts) == ("complete", "taker", 1)


def test_a_heartbeat_cannot_take_released_work_back(db: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, make_plan(lease_s=0.03), "polite")
    with Heartbeat(db, held) as heartbeat:
        release(db, held)
        assert heartbeat.lost.wait(TIMEOUT_S)
    assert must_claim(db, study_id, PLAN, "taker").trial == 0


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


@pytest.mark.chaos
@pytest.mark.short_on("sqlite")
def test_a_heartbeat_keeps_the_work(db: Database, other: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, make_plan(lease_s=6.0))
    ends_at = work_rows(db, study_id)[0].expires_at
    with Heartbeat(db, held) as heartbeat:
        wait_until(lambda: work_rows(db, study_id)[0].expires_at > ends_at)
        assert claim(other, study_id, PLAN, "other") is Idle.WAIT
        assert not heartbeat.lost.is_set()
        heartbeat.check()


def test_a_heartbeat_tells_that_the_work_was_lost(db: Database, other: Database) -> None:
    study_id = new_study(db, 1)
    held = must_claim(db, study_id, SILENT)
    must_claim(other, study_id, PLAN, "taker")
    with Heartbeat(db, dataclasses.replace(held, lease_s=0.03)) as heartbeat:
        assert heartbeat.lost.wait(TIMEOUT_S)
        with pytest.raises(LeaseLostError):
            heartbeat.check()


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
