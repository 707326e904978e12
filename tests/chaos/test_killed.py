"""Workers that are killed, at any moment, by anybody or by the work that they do."""

import signal

import pytest

from tests.chaos.case import Case
from tests.chaos.fleet import moments, ticks


@pytest.mark.short_on("postgresql")
def test_a_worker_killed_every_second_costs_nothing(case: Case) -> None:
    size, deaths = case.size, case.deaths()
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        for second in ticks(1.0, size.patience_s):
            if fleet.is_done:
                break
            if second < size.storm_s:
                deaths.kill(case.rng.choice(fleet.running))
            fleet.refill(size.n_workers)
        assert deaths.n >= size.n_kills
        done = f"{deaths.n} workers killed (SIGKILL), one a second"
        case.conclude("killed", done, fleet, deaths, most_late_s=5.0)


@pytest.mark.short_on("mysql")
def test_workers_may_die_at_any_sql_statement(case: Case) -> None:
    size = case.size
    case.study.create()
    with case.study.at_work(n=0) as fleet:
        fleet.dies_at = moments(case.rng, 50, 300)
        for _ in ticks(0.2, size.patience_s):
            if fleet.is_done:
                break
            fleet.refill(size.n_workers)
        n = sum(member.code == -signal.SIGKILL for member in fleet.members)
        assert n >= size.n_workers
        done = f"{n} workers died before or after a SQL statement or COMMIT"
        case.conclude("killed at a statement", done, fleet)


@pytest.mark.short_on("sqlite")
def test_a_deadly_configuration_is_given_up(
    case: Case,
) -> None:
    size, most = case.size, 3
    case.study.create(harm="kill", max_attempts=most, sampler="random")
    with case.study.at_work() as fleet:
        for _ in ticks(0.2, size.patience_s):
            if fleet.is_done:
                break
            fleet.refill(size.n_workers)
        n_killed = sum(member.code == -signal.SIGKILL for member in fleet.members)
        x_of = case.study.parameters()
        deadly = {number for number, x in x_of.items() if 0.45 < x < 0.5}
        done = f"{len(deadly)} configurations killed {n_killed} workers"
        case.conclude("deadly configuration", done, fleet, may_fail=True, most_late_s=5.0)
    trials = case.study.trials()
    failed = {trial["number"]: trial for trial in trials if trial["state"] == "failed"}
    assert failed.keys() == deadly
    assert 0 in deadly, "the known configuration"
    assert n_killed == most * len(deadly)
    for trial in failed.values():
        assert trial["n_attempts"] == most
        assert trial["failure"].startswith(f"given up after {most} attempts")
