"""Seconds for each fold-epoch of `siamese`: `hpo worker` beside the plain script, in one run.

Both search the same number of trials of the report's configuration on true MNIST, 3 folds, no
pruning. Imports are left out on both sides. Rounds alternate, so that a machine's drift meets both.
Prints a line a round to stderr and JSON to stdout:

    HPO_DATA_DIR=... python benchmarks/throughput.py --rounds 3
"""

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


FOLDS, EPOCHS, LEASE_S = 3, 8, 60.0
HERE = Path(__file__).parent
RECIPE = """\
architecture: siamese
parameters:
  learning_rate: 0.005
  weight_decay: 0.0
  channels: [64, 128, 256]
  dropout: {values: [%s]}
"""


def plain(trials: int) -> float:
    """Seconds of the plain script's search, its imports left out."""
    command = [sys.executable, str(HERE / "plain_script.py"), "--trials", str(trials)]
    command += ["--folds", str(FOLDS), "--epochs", str(EPOCHS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(json.loads(done.stdout)["seconds"])


def ours(trials: int, processes: int) -> float:
    """Seconds of the same search by `hpo worker`, from the first claim to the last result.

    Imports are left out here, too; the database, the claims and the reports are in.
    """
    with tempfile.TemporaryDirectory() as folder:
        values = ", ".join(f"0.25{index:02d}" for index in range(trials))
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(RECIPE % values)
        environment = os.environ | {"HPO_STORAGE": f"sqlite:///{folder}/hpo.db"}
        create = ["study", "create", "--architecture", "siamese", "--space", str(recipe)]
        create += ["--folds", str(FOLDS), "--epochs", str(EPOCHS), "--sampler", "grid"]
        _hpo([*create, "--pruner", "none", "--lease", str(LEASE_S)], environment)
        worker = ["worker", "--study", "siamese", "--processes", str(processes)]
        _hpo([*worker, "--max-trials", str(trials // processes)], environment)
        return _span(Path(folder) / "hpo.db")


def _span(database: Path) -> float:
    """From the first claim to the last result, whose fence renewed the lease."""
    with sqlite3.connect(database) as connection:
        query = "SELECT min(claimed_at), max(expires_at) FROM hpo_claims WHERE state = 'complete'"
        first, last = connection.execute(query).fetchone()
    return float(last - LEASE_S - first)


def _hpo(arguments: list[str], environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "cli", *arguments]
    subprocess.run(command, check=True, capture_output=True, env=environment)


def main() -> None:
    """Alternate both for some rounds and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    fold_epochs = options.trials * FOLDS * EPOCHS
    rows = []
    for number in range(options.rounds):
        slow = plain(options.trials) / fold_epochs
        fast = ours(options.trials, options.processes) / fold_epochs
        rows.append({"plain_s": slow, "hpo_s": fast, "ratio": slow / fast})
        line = f"round {number}: plain {slow:.3f} s, hpo {fast:.3f} s, {slow / fast:.2f} times"
        print(line, file=sys.stderr)
    ratio = statistics.median(row["ratio"] for row in rows)
    print(json.dumps({"fold_epochs": fold_epochs, "rounds": rows, "median_ratio": ratio}, indent=2))


if __name__ == "__main__":
    main()
