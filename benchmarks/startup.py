"""Seconds until something is there: help and the list of studies beside Optuna's, a worker's start.

Commands alternate; the first round warms the disk's cache and is not counted. A worker's start
ends when each of its processes has its first claim, and again when it has done its first two steps:
its first trial, two folds of one step, and their evaluation. Prints Markdown to stdout:

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
    """Of a command, from its start to its end."""
    words = [str(BIN / command[0]), *(word.format(url=url) for word in command[1:])]
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def start(url: str, processes: int) -> tuple[float, ...]:
    """Of a worker, from its start to the last of its processes' first claims and first results."""
    environment = os.environ | {"HPO_STORAGE": url}
    began = time.time()
    words = [str(BIN / "hpo"), *WORK.format(n=processes).split()]
    done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
    told = [json.loads(line) for line in done.stderr.splitlines()]
    return tuple(_last_of_firsts(told, name, processes) - began for name in MOMENTS)


def _last_of_firsts(told: list[dict[str, str]], event: str, processes: int) -> float:
    """When the last of the processes told this event for the first time, since 1970."""
    first = {each["worker"]: each["time"] for each in reversed(told) if each["event"] == event}
    assert len(first) == processes, "there was not a trial for each"
    return max(datetime.datetime.fromisoformat(each).timestamp() for each in first.values())


def main() -> None:
    """Alternate all commands for some rounds; print the medians."""
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
                for moment, each in zip(MOMENTS.values(), start(url, n), strict=True):
                    took.setdefault(f"{name} {moment}", []).append(each)
            say(f"round {number} of {options.rounds}")
    print(conditions("startup"))
    print("\n| | median, s | least, s |\n| --- | --- | --- |")
    for name, every in took.items():
        print(f"| {name} | {statistics.median(every[1:]):.2f} | {min(every[1:]):.2f} |")


if __name__ == "__main__":
    main()
