"""Databases that are away, lock, or cut their connections while workers use them."""

import time
from dataclasses import replace

import pytest

from tests.chaos.case import Case
from tests.chaos.faults import Cutter, away
from tests.chaos.fleet import Fleet, ticks
from tests.chaos.waiting import wait_for_results, wait_for_work


def check_told(fleet: Fleet, n_outages: int) -> None:
    """Every worker says of each outage once that the database is away, and that it is back.

    On a busy machine a lock that others keep for over a second is an outage, too.
    """
    for member in fleet.members:
        told = [e["event"] for e in member.events() if e["event"].startswith("storage_")]
        n_told = len(told) // 2
        assert told == ["storage_away", "storage_back"] * n_told, (member.number, told)
        assert n_told >= n_outages, (member.number, told)


def test_a_database_that_restarts_three_times_fails_nothing(server_case: Case) -> None:
    case, downs = server_case, []
    case.study.create(pace_s=case.size.slow_pace_s)
    with case.study.at_work() as fleet:
        for _ in range(3):
            wait_for_results(case.study, fleet, case.size.n_trials // 8)
            began = time.monotonic()
            with away(case.study, case.server):
                pass
            downs.append(time.monotonic() - began)
        done = f"3 restarts, away for {max(downs):.1f} s at most"
        case.conclude("database restarts", done, fleet)
        assert {member.code for member in fleet.members} == {0}


@pytest.mark.short_on("sqlite", "postgresql")
def test_workers_wait_for_a_database_longer_than_a_lease(case: Case) -> None:
    size = case.size
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        wait_for_results(case.study, fleet, size.n_trials // 4)
        before = case.study.work()
        with away(case.study, case.server):
            time.sleep(size.away_s)
        back = time.monotonic()
        wait_for_results(case.study, fleet, 1)
        done = f"away for {size.away_s:.0f} s, first result {time.monotonic() - back:.1f} s later"
        case.conclude("database away", done, fleet)
        assert {member.code for member in fleet.members} == {0}
        check_told(fleet, 1)
        after = {row["id"]: row for row in case.study.work()}
        assert [after[row["id"]]["token"] for row in before] == [row["token"] for row in before], (
            "work was taken from a worker for the database's fault"
        )


@pytest.mark.short_on
def test_work_is_kept_through_an_outage_by_heartbeats_alone(case: Case) -> None:
    """A training epoch is longer than the lease: nothing but heartbeats renews it."""
    size = replace(case.size, n_trials=case.size.n_workers, n_repeats=1, lease_s=5.0)
    case.study = replace(case.study, size=size)
    pace_s = 1.5 * size.lease_s
    case.study.create(pace_s=pace_s, epochs=1)
    with case.study.at_work() as fleet:
        wait_for_work(case.study, fleet)
        with away(case.study, case.server):
            time.sleep(size.lease_s / 2)
        done = f"away for {size.lease_s / 2:.1f} s; epochs of {pace_s:.1f} s a fold"
        case.conclude("database away, long epochs", done, fleet)
        assert fleet.events("lease_lost") == []
        assert {row["token"] for row in case.study.work()} == {1}


@pytest.mark.short_on("mysql")
def test_a_database_that_stays_away_ends_workers_with_their_code(case: Case) -> None:
    size, patience_s = case.size, 3.0
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work(f"--storage-timeout={patience_s}") as fleet:
        wait_for_results(case.study, fleet, size.n_workers)
        with away(case.study, case.server):
            began = time.monotonic()
            codes = [member.end(60.0) for member in fleet.members]
            seconds = time.monotonic() - began
        assert set(codes) == {4}
        for member in fleet.members:
            assert not any("Traceback" in line for line in member.said)
            assert member.said[-1].count("cannot use the database") == 1
        assert seconds < patience_s + 20.0
        first = len(fleet.members)
        fleet.start(size.n_workers)
        done = f"away beyond a patience of {patience_s:.0f} s: all left with 4 in {seconds:.0f} s"
        case.conclude("database stays away", done, fleet)
        assert {member.code for member in fleet.members[first:]} == {0}


def test_cut_connections_lose_nothing(server_case: Case) -> None:
    case = server_case
    size, cutter = case.size, Cutter(case.study, case.rng)
    case.study.create()
    with case.study.at_work() as fleet:
        for _ in ticks(0.1, size.patience_s):
            if fleet.is_done:
                break
            cutter.cut()
        assert cutter.n >= size.n_kills
        done = f"{cutter.n} connections cut, {cutter.n_in_transaction} in a transaction"
        case.conclude("connections cut", done, fleet)
        assert {member.code for member in fleet.members} == {0}


@pytest.mark.short_on("postgresql")
def test_sixteen_workers_make_the_tables_and_share_the_work(case: Case) -> None:
    n = 16
    fleet = case.study.fleet("--wait", named=False)
    try:
        fleet.start(n)
        case.study.create()
        for _ in ticks(0.2, case.size.patience_s):
            assert len(fleet.running) == n, [member.said[-3:] for member in fleet.members]
            work = case.study.work()
            n_ended = sum(row["state"] != "live" for row in work)
            if n_ended == case.size.n_trials + case.size.n_repeats:
                break
        for member in fleet.members:
            member.process.terminate()
        assert {member.end() for member in fleet.members} == {143}
    finally:
        fleet.kill()
    busy = sum(bool(member.events("finished")) for member in fleet.members)
    assert busy > n // 2
    case.conclude(
        "16 at once", f"{n} workers opened an empty database together, {busy} found work", fleet
    )
