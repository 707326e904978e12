"""Compare the seconds per fold-epoch of `hpo worker` and of the plain script.

Both search the same number of trials of a report's configuration on MNIST, with 3 folds and no
pruner. Imports are not counted. The two alternate, so that changes in the machine's speed affect
both. Prints a line per round to stderr, Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.throughput --rounds 3
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.conditions import conditions, say
from benchmarks.plain_networks import FITS


FOLDS, LEASE_S = 3, 60.0
CLOSE = 1e-4
"""Relative difference between the learning rates of two trials: a grid needs different values."""


@dataclass(frozen=True)
class Search:
    """One search, which both sides run."""

    network: str
    trials: int
    processes: int

    @property
    def n_epochs(self) -> int:
        """Number of fold-epochs of the search."""
        return self.trials * FOLDS * FITS[self.network].epochs

    def plain(self) -> dict[str, Any]:
        """Run the search by the plain script; `seconds` does not include its imports."""
        command = [sys.executable, "-m", "benchmarks.plain_script", "--network", self.network]
        command += ["--trials", str(self.trials), "--folds", str(FOLDS)]
        command += ["--epochs", str(FITS[self.network].epochs)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def ours(self) -> dict[str, Any]:
        """Run the search by `hpo worker`; `seconds` is from the first claim to the last result.

        It does not include imports. It includes the database, the claims, the reports, and the
        time at the end when one worker is idle while another has the last trial.
        """
        with tempfile.TemporaryDirectory() as folder:
            recipe = Path(folder) / "recipe.yaml"
            recipe.write_text(yaml.safe_dump(self._recipe()))
            environment = os.environ | {"HPO_STORAGE": f"sqlite:///{folder}/hpo.db"}
            create = ["--architecture", self.network, "--space", str(recipe), "--folds", str(FOLDS)]
            create += ["--trials", str(self.trials), "--sampler", "grid", "--pruner", "none"]
            create += ["--repeats", "1", "--lease", str(LEASE_S)]
            _hpo(["study", "create", *create], environment)
            worker = ["worker", "--study", self.network, "--processes", str(self.processes)]
            _hpo(worker, environment)
            return _recorded(Path(folder) / "hpo.db")

    def _recipe(self) -> dict[str, Any]:
        fit = FITS[self.network]
        rates = [fit.learning_rate * (1 + CLOSE * number) for number in range(self.trials)]
        return {
            "architecture": self.network,
            "training": {"epochs": fit.epochs, "batch_size": fit.batch_size},
            "parameters": {**fit.recipe, "learning_rate": {"values": rates}},
        }


def _recorded(database: Path) -> dict[str, Any]:
    """Read the result of a search from its database.

    `seconds` is from the first claim to the last trial's result. The write of a result renewed the
    lease, so the end of the lease gives the time of the write. `besides` is the share of that time
    that is not training or evaluation; it is meaningful for a single worker only.
    """
    with sqlite3.connect(database) as connection:
        query = (
            "SELECT claimed_at, expires_at, c.error, n_parameters, sum(train_s) FROM hpo_claims c "
            "JOIN hpo_trainings ON claim_id = c.id WHERE kind = 'trial' GROUP BY c.id "
            "ORDER BY claimed_at"
        )
        begun, ended, errors, sizes, train_s = zip(*connection.execute(query), strict=True)
    last = max(ended) - LEASE_S
    return {
        "seconds": last - begun[0],
        "best_error": min(errors),
        "n_parameters": sizes[0],
        "besides": 1 - sum(train_s) / (last - begun[0]),
    }


def _hpo(arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "cli", *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def measure(search: Search, rounds: int) -> str:
    """Measure one network; return its line of the table, with medians over the rounds."""
    rows = []
    for number in range(rounds):
        sides = [search.plain, search.ours]
        results = {side.__name__: side() for side in (sides if number % 2 == 0 else sides[::-1])}
        sizes = {result["n_parameters"] for result in results.values()}
        assert len(sizes) == 1, f"{search.network} is not the same network: {sizes} parameters"
        slow, fast = (results[side]["seconds"] / search.n_epochs for side in ("plain", "ours"))
        rows.append((slow, fast, slow / fast))
        errors = [f"{results[side]['best_error']:.1%}" for side in ("plain", "ours")]
        say(
            f"{search.network}, round {number}: plain {slow:.4f} s, hpo {fast:.4f} s, "
            f"{slow / fast:.2f} times; best errors {', '.join(errors)}"
        )
    slow, fast, ratio = (statistics.median(column) for column in zip(*rows, strict=True))
    ratios = [row[-1] for row in rows]
    span = f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return f"| `{search.network}` | {slow:.4f} | {fast:.4f} | {span} |"


def main() -> None:
    """Alternate both sides, network by network; print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", default=list(FITS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(conditions("throughput"))
    print("\n| network | plain, s | hpo, s | plain / hpo |\n| --- | --- | --- | --- |", flush=True)
    for network in options.networks:
        print(measure(Search(network, options.trials, options.processes), options.rounds))


if __name__ == "__main__":
    main()
