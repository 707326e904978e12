"""Leases and heartbeats: who holds work, for how long, and who may take it."""

import dataclasses

import pytest
import sqlalchemy as sa

from storage.claims import Idle, claim
from storage.engine import Database
from storage.errors import LeaseLostError
from storage.leases import Claim, Heartbeat, release, report
from storage.tables import clock, hpo_claims
from tests.support.commands import TIMEOUT_S, wait_until
from tests.support.storage_checks import (
    work_rows,
)
from tests.support.storage_worker import (
    OVER_S,
    do,
    make_plan,
    must_claim,
    new_study,
)


PLAN = make_plan()
SILENT = make_plan(lease_s=OVER_S)


def set_clock_back(db: Database, held: Claim, by_s: float) -> None:
    """Let a lease end as it would if the database's clock were set back by so much."""
    later = {"expires_at": hpo_claims.c.expires_at + by_s}
    with db.engine.begin() as connection:
        connection.execute(sa.update(hpo_claims).where(hpo_claims.c.id == held.id).values(later))


def now(db: Database) -> float:
    with db.reading() as connection:
        return float(connection.execute(sa.select(clock())).scalar_one())


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
