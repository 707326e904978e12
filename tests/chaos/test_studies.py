"""Studies that change, and networks that fail, while workers work."""

import time

import pytest

from tests.chaos.case import Case
from tests.chaos.study import NAME
from tests.chaos.waiting import wait_for_results
from tests.support.tiny_studies import must


@pytest.mark.short_on("sqlite")
def test_a_failing_configuration_is_one_failed_trial(case: Case) -> None:
    case.study.create(harm="fail", above=0.3, below=0.7, sampler="random", lease=3600)
    with case.study.at_work() as fleet:
        fleet.let_finish()
        trials = case.study.trials()
        for trial in trials:
            x, failure = trial["params"]["x"], trial["failure"] or ""
            assert (trial["state"] == "failed") == (0.3 < x < 0.7)
            assert trial["n_attempts"] == 1
            assert ("the loss became nan in epoch 1" in failure) == (0.3 < x < 0.5)
            for words in ("Traceback", f"RuntimeError: the network cannot stand {x}"):
                assert (words in failure) == (0.5 <= x < 0.7)
        n = sum(trial["state"] == "failed" for trial in trials)
        case.conclude(
            "network fails", f"{n} trials failed, each with its reason", fleet, may_fail=True
        )


def test_a_worker_stops_after_too_many_failures_in_a_row(sqlite_case: Case) -> None:
    case, most = sqlite_case, 4
    enough = 2 * most * case.size.n_workers
    case.study.create(harm="fail", above=0.0, below=1.0, trials=enough)
    with case.study.at_work(f"--max-failures={most}") as fleet:
        assert {member.end() for member in fleet.members} == {1}
        for member in fleet.members:
            assert len(member.events("finished")) == most
            assert f"{most} trials of study 'chaos' failed in a row" in member.said[-1]
        n = len(fleet.members)
        assert len(case.study.work()) == most * n
        done = f"{n} workers left with 1 after {most} failed trials in a row each"
        case.note("network always fails", done)


@pytest.mark.short_on("mysql")
def test_a_study_that_is_extended_is_worked_on_to_its_new_end(case: Case) -> None:
    size, more = case.size, case.size.n_trials // 5
    case.study.create(trials=size.n_trials - more, pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        wait_for_results(case.study, fleet, size.n_trials // 20)
        must("study", "extend", NAME, f"--trials={size.n_trials}", *case.study.storage)
        done = f"from {size.n_trials - more} to {size.n_trials} trials in mid-run"
        case.conclude("study extended", done, fleet)
        assert {member.code for member in fleet.members} == {0}


@pytest.mark.short_on("postgresql")
def test_workers_of_a_deleted_study_write_nothing_more(case: Case) -> None:
    size = case.size
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        wait_for_results(case.study, fleet, size.n_workers)
        must("study", "delete", NAME, "--yes", *case.study.storage)
        began = time.monotonic()
        assert {member.end() for member in fleet.members} == {3}
        seconds = time.monotonic() - began
        assert all(member.events("study_deleted") for member in fleet.members)
    for table in (
        "hpo_studies",
        "hpo_claims",
        "hpo_trainings",
        "studies",
        "trials",
        "trial_params",
    ):
        assert case.study.rows(f"SELECT * FROM {table}") == [], table  # noqa: S608
    assert seconds < 10.0
    case.note("study deleted", f"all {size.n_workers} workers left with 3 in {seconds:.1f} s")
