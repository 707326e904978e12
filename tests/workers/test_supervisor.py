"""Workers that die under their command, and trials that fail again and again."""

import json
import os
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run_hpo, wait_until, worker
from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import hpo, must


FILES = {
    "deadly_nets.py": """\
import os
import signal
import time
from pathlib import Path
from torch import nn
def is_named_in(file, width):
    return Path(file).exists() and str(width) in Path(file).read_text().split()
def build(width=4):
    while Path("held").exists():
        time.sleep(0.05)
    if is_named_in("deadly", width):
        os.kill(os.getpid(), signal.SIGKILL)
    if is_named_in("broken", width):
        raise RuntimeError("no width is right today")
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
""",
    "deadly_points.py": POINTS,
    "one_deadly.yaml": """\
architecture: deadly_nets:build
parameters: {width: {type: int, low: 4, high: 20}}
known: [{width: 13}, {width: 5}]
""",
    "all_deadly.yaml": "{architecture: deadly_nets:build, parameters: {width: 13}}",
    "all_broken.yaml": """\
architecture: deadly_nets:build
parameters: {width: 14, learning_rate: {type: float, low: 0.001, high: 0.1}}
""",
}
CREATE = "study create --name own --architecture deadly_nets:build --dataset deadly_points:Points"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def create(space: str, *flags: str) -> None:
    """A study whose lease outlasts the test: nothing is taken over because one has run out."""
    must(*CREATE.split(), "--space", space, "--lease", "3600", *TINY, *flags)


def trials() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must("study trials own --json"))
    return found


def events(errors: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in errors.splitlines()]


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_configuration_that_kills_its_worker_fails() -> None:
    create("one_deadly.yaml", "--trials", "4", "--max-attempts", "2")
    Path("deadly").write_text("13")
    done = run_hpo("worker", "--study", "own", "--processes", "2")
    assert done.returncode == 0
    assert done.stderr.count("died (killed by SIGKILL); its work will be done again") == 2
    first, *others = trials()
    assert (first["state"], first["params"]["width"], first["n_attempts"]) == ("failed", 13, 2)
    assert first["failure"].startswith("given up after 2 attempts")
    assert "killed by SIGKILL" in first["failure"]
    assert {trial["state"] for trial in others} <= {"complete", "pruned"}
    assert len(others) == 3


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_killed_worker_s_work_is_done_at_once_by_its_successor() -> None:
    """At once: its lease would hold the work up for an hour."""
    create("one_deadly.yaml", "--trials", "2", "--repeats", "1", "--pruner", "none")
    Path("held").touch()  # both trials stand still, so that neither is over before the other begins
    with worker("--study", "own", "--processes", "2", "--log-format", "json") as process:
        wait_until(lambda: len(at_work()) == 2)
        victim = at_work()[0]
        dead, doing = victim["name"], victim["doing"]
        os.kill(int(dead.split("-")[-2]), signal.SIGKILL)
        wait_until(lambda: doing in [each["doing"] for each in at_work() if each["name"] != dead])
        Path("held").unlink()
        _, errors = process.communicate(timeout=100)
    assert process.returncode == 0
    told = events(errors)
    assert Counter(event["event"] for event in told)["worker_died"] == 1
    again = [event for event in told if event["event"] == "claimed" and event["attempt"] == 2]
    assert [f"trial {event['trial']}" for event in again] == [doing]
    assert 0 <= again[0]["late_s"] < 60
    assert sorted(trial["n_attempts"] for trial in trials()) == [1, 2]
    assert {trial["state"] for trial in trials()} == {"complete"}


def at_work() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must("study show own --json"))["workers"]
    return found


@pytest.mark.chaos
def test_workers_that_only_ever_die_are_not_started_for_ever() -> None:
    create("all_deadly.yaml", "--max-attempts", "1000")
    Path("deadly").write_text("13")
    done = run_hpo("worker", "--study", "own", "--processes", "2", "--max-failures", "2")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]  # of whichever was given up first
    assert re.fullmatch(r"error: worker [01] died \(killed by SIGKILL\)", last)
    assert done.stderr.count("it is not started again") == 2
    assert [trial["state"] for trial in trials()] == ["running"]


def test_a_worker_leaves_after_too_many_failed_trials_in_a_row() -> None:
    create("all_broken.yaml", "--trials", "8")
    Path("broken").write_text("14")
    done = hpo("worker --study own --processes 1 --max-failures 3")
    assert done.code == 1
    last = done.err.splitlines()[-1]
    assert last.startswith("error: 3 trials of study 'own' failed in a row, the last with: ")
    assert "no width is right today" in last
    assert [trial["state"] for trial in trials()] == ["failed"] * 3
    assert "Traceback" in trials()[0]["failure"]
    Path("broken").unlink()
    must("worker --study own --processes 1 --max-failures 3")
    assert Counter(trial["state"] for trial in trials())["failed"] == 3


def test_a_trial_that_ends_well_ends_the_row_of_failed_ones() -> None:
    create("one_deadly.yaml", "--trials", "2")
    Path("broken").write_text("13")
    must("worker --study own --processes 1 --max-failures 2")
    assert [trial["state"] for trial in trials()] == ["failed", "complete"]
