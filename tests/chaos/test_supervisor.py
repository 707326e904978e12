"""The installed command with several processes, of which children are killed."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from tests.chaos.case import Case
from tests.chaos.checks import check
from tests.chaos.fleet import Event, ticks
from tests.chaos.study import NAME
from tests.support.commands import HPO, clean_environment
from tests.support.sources import ROOT


def test_a_killed_child_is_replaced_and_its_work_given_back(
    sqlite_case: Case,
) -> None:
    """The lease is an hour: what is not given back would stay where it is."""
    size = replace(sqlite_case.size, n_trials=max(12, sqlite_case.size.n_trials // 4), n_repeats=4)
    case = replace(sqlite_case, study=replace(sqlite_case.study, size=size))
    n_kills = size.n_stops // 2
    case.study.create(pace_s=size.slow_pace_s, lease=3600)
    log = case.study.folder / "supervisor.err"
    arguments = ["--study", NAME, "--processes", "2", "--log-format", "json", *case.study.storage]
    with log.open("w") as err:
        process = subprocess.Popen(
            [HPO, "worker", *arguments],
            env=clean_environment({"PYTHONPATH": str(ROOT)}),
            stderr=err,
            stdout=subprocess.DEVNULL,
        )
    try:
        deaths, killed = case.deaths(), set[int]()
        for _ in ticks(0.2, size.patience_s):
            pids = {int(row["worker"].split("-")[-2]) for row in case.study.held()}
            holders = sorted(pids - killed)  # one that was killed may hold its work for a moment
            if len(holders) == 2:
                pid = case.rng.choice(holders)
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
                deaths.n += 1
                deaths.note(pid, time.time())
                if deaths.n == n_kills:
                    break
        assert process.wait(size.patience_s) == 0
    finally:
        process.kill()
        process.wait()
    assert len(events_of(log, "worker_died")) == n_kills
    check(case.study)
    deaths.check()
    latencies = deaths.latencies_s(events_of(log, "claimed"))
    # What has to start anew is a Python with torch.
    assert max(latencies) < 30.0
    done = f"{n_kills} children of one `hpo worker --processes 2` killed; the lease is an hour"
    case.note("child killed", done, len(latencies), latencies)


def events_of(log: Path, name: str) -> list[Event]:
    """What was logged under that name."""
    lines = [line for line in log.read_text().splitlines() if line.startswith("{")]
    return [event for event in map(json.loads, lines) if event["event"] == name]
