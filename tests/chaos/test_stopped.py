"""Workers that are asked to stop, and workers that stand still for longer than their lease."""

import signal
import time
from contextlib import suppress
from dataclasses import replace

import pytest

from storage.backends.base import IDLE_TIMEOUT_S
from tests.chaos.case import Case
from tests.chaos.deaths import lost_work
from tests.chaos.faults import stand_still
from tests.chaos.study import FOLDS
from tests.chaos.waiting import wait_for_work


SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.short_on("sqlite")
def test_stopped_workers_give_their_work_back_within_an_epoch(case: Case) -> None:
    """The lease is an hour: what is not given back would stay where it is."""
    size = case.size
    codes, seconds = {signal.SIGTERM: 143, signal.SIGINT: 130}, dict.fromkeys(SIGNALS, 0.0)
    case.study.create(pace_s=size.slow_pace_s, lease=3600)
    with case.study.at_work() as fleet:
        for number in size.n_stops // 4 * SIGNALS:
            wait_for_work(case.study, fleet)
            told, began = fleet.running, time.monotonic()
            for member in told:
                member.signal(number)
            assert {member.end(20.0) for member in told} == {codes[number]}
            seconds[number] = max(seconds[number], time.monotonic() - began)
            assert case.study.held() == []
            fleet.start(size.n_workers)
        words = " and ".join(f"{number.name} after {s:.1f} s" for number, s in seconds.items())
        done = f"{len(fleet.members) - size.n_workers} times told to stop, left: {words} at most"
        case.conclude("SIGTERM, SIGINT", done, fleet)
        attempts = {row["n_attempts"] for row in case.study.work()}
        assert attempts == {1}, "a try that was given back does not count"
    # All of them have two cores to leave on, perhaps.
    assert max(seconds.values()) < size.slow_pace_s * FOLDS + 3.0


@pytest.mark.short_on("15")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_second_signal_ends_a_worker_at_once(sqlite_case: Case, number: signal.Signals) -> None:
    case, pace_s = sqlite_case, 1.5
    case.study.create(pace_s=pace_s, trials=8, repeats=1)
    size = replace(case.size, n_trials=8, n_repeats=1)
    case.study = replace(case.study, size=size)
    with case.study.at_work() as fleet:
        wait_for_work(case.study, fleet)
        for member in fleet.members:
            member.signal(number)
        time.sleep(0.1)
        began = time.monotonic()
        for member in fleet.members:
            with suppress(ProcessLookupError):  # its epoch has ended, and so has the worker
                member.signal(number)
        codes = {member.end() for member in fleet.members}
        assert -number in codes, "all have waited for their epochs"
        assert codes <= {-number, 128 + number}, "an epoch may have ended between the two"
        seconds = time.monotonic() - began
        fleet.start(size.n_workers)
        done = f"{size.n_workers} workers told twice, all gone {seconds:.1f} s later"
        case.conclude(f"{number.name} twice", done, fleet)


@pytest.mark.short_on("postgresql")
def test_a_worker_that_stood_still_goes_on_with_other_work(case: Case) -> None:
    # So much that there is other work left.
    size, n_refused = replace(case.size, n_trials=max(120, case.size.n_trials)), 0
    case.study = replace(case.study, size=size)
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        for _ in range(size.n_stops // 4):
            wait_for_work(case.study, fleet)
            still = case.rng.sample(fleet.running, 3)
            for member in still:
                stand_still(case.study, member)
            held = {row["id"] for member in still for row in case.study.held(member.pid)}
            time.sleep(2 * size.lease_s + 1.0)
            before = case.study.work()
            # One that stopped in a transaction has its row locked: nobody takes it over so soon.
            n_refused += sum(row["id"] in held and row["token"] > 1 for row in before)
            for member in still:
                member.signal(signal.SIGCONT)
            time.sleep(size.lease_s / 2)
            assert lost_work(before, case.study.work()) == []
        assert n_refused > 0
        done = f"{n_refused} workers stopped (SIGSTOP) for {2 * size.lease_s + 1:.0f} s"
        # A server takes a stopped worker's locks away after ten seconds, and its work is free then.
        most_late_s = 5.0 if case.server is None else 5.0 + IDLE_TIMEOUT_S
        case.conclude("standing still", done, fleet, most_late_s=most_late_s)
        lost = fleet.events("lease_lost")
        assert len(lost) >= n_refused
        assert {member.code for member in fleet.members} == {0}
        gone_on = [member for member in fleet.members if member.events("lease_lost")]
        assert all(member.events("finished") for member in gone_on)
