"""Measure start-up: `--help` and the list of studies compared with Optuna's, and a worker's start.

The commands alternate. The first round warms the disk's cache and is not counted. Two moments of a
worker's start are measured: when each process has its first claim, and when each has finished its
first trial, which is two folds of one step and their evaluation. Prints Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.startup
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.conditions import conditions, say


BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": ["python", "-c", "pass"],
    "optuna --help": ["optuna", "--help"],
    "hpo --help": ["hpo", "--help"],
    "optuna studies": ["optuna", "studies", "--storage", "{url}"],
    "hpo study list": ["hpo", "study", "list", "--storage", "{url}"],
}
CREATE = "study create --architecture siamese --train-size 100 --test-size 100 --folds 2 --epochs 1"
MOMENTS = {"claimed": "to its first claims", "finished": "to its first two steps"}
WORK = "worker --study siamese --processes {n} --max-trials 1 --log-format json"


def seconds(command: list[str], url: str) -> float:
    """Run a command; return the seconds from its start to its end."""
    arguments = [str(BIN / command[0]), *(word.format(url=url) for word in command[1:])]
    start = time.perf_counter()
    subprocess.run(arguments, check=True, capture_output=True)
    return time.perf_counter() - start


def start(url: str, processes: int) -> tuple[float, ...]:
    """Run a worker; return the seconds until each process has its first claim and first result."""
    environment = os.environ | {"HPO_STORAGE": url}
    began = time.time()
    command = [str(BIN / "hpo"), *WORK.format(n=processes).split()]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    return tuple(_last_of_firsts(events, name, processes) - began for name in MOMENTS)


def _last_of_firsts(events: list[dict[str, str]], name: str, processes: int) -> float:
    """The time, in seconds since 1970, by which every process has logged an event of this name."""
    first = {event["worker"]: event["time"] for event in reversed(events) if event["event"] == name}
    assert len(first) == processes, "some process had no trial"
    return max(datetime.datetime.fromisoformat(moment).timestamp() for moment in first.values())


def main() -> None:
    """Alternate all commands; print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    took: dict[str, list[float]] = {f"`{name}`": [] for name in COMMANDS}
    workers = {n: f"`hpo worker --processes {n}`" for n in (1, 2)}
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/hpo.db"
        create = [str(BIN / "hpo"), *CREATE.split(), "--trials", "1000", "--storage", url]
        subprocess.run(create, check=True, capture_output=True)
        for number in range(options.rounds + 1):
            for name, command in COMMANDS.items():
                took[f"`{name}`"].append(seconds(command, url))
            for n, name in workers.items():
                for moment, passed in zip(MOMENTS.values(), start(url, n), strict=True):
                    took.setdefault(f"{name} {moment}", []).append(passed)
            say(f"round {number} of {options.rounds}")
    print(conditions("startup"))
    print("\n| | median, s | least, s |\n| --- | --- | --- |")
    for name, times in took.items():
        print(f"| {name} | {statistics.median(times[1:]):.2f} | {min(times[1:]):.2f} |")


if __name__ == "__main__":
    main()
