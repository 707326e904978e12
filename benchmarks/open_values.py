"""Measure candidates for values that a report leaves open, without using any test image.

Examples are drawn from the training pool. Each candidate is trained on the first half of them and
measured on the other half. In each repeat all candidates have the same draw, initialization and
batches. Prints a line for each candidate to stderr, and JSON to stdout:

    python -m benchmarks.open_values benchmarks/open_values.yaml [ARCHITECTURE ...] --repeats 6

The file maps architectures to lists of candidates. A candidate is a map of hyperparameters, which
may include epochs and batch_size. Their defaults are those of the recipe, otherwise 25 and 100.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from hpo.architectures import architectures
from hpo.datasets import load_dataset
from hpo.errors import HpoError, InputError
from hpo.machine import count_cores
from hpo.protocol import Protocol
from hpo.registry import unknown
from hpo.reports.formatting import params, percent, summary
from hpo.reproduction.runs import (
    Repeats,
    Run,
    RunPlan,
    RunTask,
    configuration,
    finish,
    pieces,
    plan,
)
from hpo.seeds import derive
from hpo.studies import recipes
from hpo.subprocesses.pool import spread
from hpo.training.config import DURATION, TrainingConfig
from hpo.training.fit import Training
from hpo.training.metrics import error_function
from hpo.training.split import Split


PURPOSE = "open values"
"""Purpose of the seeds of draws and trainings. No study and no test run has the same seeds."""


def run(piece: RunTask) -> Run:
    """Train a candidate on one half of a draw and measure it on the other half."""
    return finish(train(piece))


def train(piece: RunTask) -> Iterator[Training]:
    """Yield the training after every epoch."""
    device = torch.device(piece.device)
    config = TrainingConfig.of(piece.protocol, configuration(piece.protocol))
    split = draw(piece.protocol, piece.seed, device)
    training = Training(config, split, device, (PURPOSE, piece.seed))
    for _ in range(config.epochs):
        training.run_epoch()
        yield training


def draw(protocol: Protocol, seed: int, device: torch.device) -> Split:
    """One draw from the training pool, split into two parts of the sizes of a test run's."""
    data, n_train = load_dataset(protocol.dataset), protocol.train_size
    drawn = data.draw_train(n_train + protocol.test_size, derive(PURPOSE, seed))
    first, second = torch.arange(n_train), torch.arange(n_train, len(drawn))
    return Split.of(drawn.subset(first), drawn.subset(second), device, error_function(data))


def read(path: Path, names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The candidates of the named architectures, or of all if `names` is empty.

    Raises:
        InputError: the file has another form, or a name is not in it.
    """
    candidates = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(candidates, dict) or not all(
        isinstance(group, list) and all(isinstance(candidate, dict) for candidate in group)
        for group in candidates.values()
    ):
        raise InputError(f"{path} should map architectures to lists of candidates")
    for name in names:
        if name not in candidates:
            raise InputError(unknown(f"architecture in {path}", name, candidates))
    return [(name, candidate) for name in names or candidates for candidate in candidates[name]]


def planned(name: str, candidate: dict[str, Any], repeats: int) -> RunPlan:
    """The plan of a candidate's runs."""
    duration = {key: candidate[key] for key in DURATION if key in candidate}
    params = {key: value for key, value in candidate.items() if key not in DURATION}
    return plan(name, params, repeats=repeats, **duration)


def reported(name: str) -> float | None:
    """The error that the architecture's report gives, if any."""
    recipe = recipes.own_recipe(architectures.get(name))
    return None if recipe is None or recipe.reported is None else recipe.reported.test_error


def row(plan: RunPlan, done: Repeats) -> dict[str, Any]:
    """The result of one candidate, for the JSON output."""
    error, config = done.measured, TrainingConfig.of(plan.protocol, configuration(plan.protocol))
    name = plan.protocol.architecture
    target = reported(name)
    return {
        "architecture": name,
        "params": config.params,
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "error": None if error is None else asdict(error),
        "reported": target,
        "distance": None if target is None or error is None else error.mean - target,
        "n_parameters": plan.n_parameters,
        "train_s": done.train_s,
        "failures": done.failures,
        "curves": [run.curve for run in done.runs],
    }


def line(row: dict[str, Any], done: Repeats) -> str:
    """The result of one candidate as a line of text."""
    gap, seconds = row["distance"], row["train_s"]
    parts = [
        row["architecture"],
        summary(done.measured),
        "" if gap is None else f"{100 * gap:+.2f} from {percent(row['reported'])}",
        "" if seconds is None else f"{seconds:.1f} s",
        f"{row['n_parameters']:,} parameters",
        f"{row['epochs']} epochs of {row['batch_size']}",
        params(row["params"]),
        *row["failures"],
    ]
    return " · ".join(part for part in parts if part)


def print_results(plans: list[RunPlan], runs: dict[int, dict[int, Run]]) -> None:
    """Print the finished runs, candidate by candidate."""
    rows = []
    for number in sorted(runs):
        done = Repeats.of(runs[number])
        rows.append(row(plans[number], done))
        print(line(rows[-1], done), file=sys.stderr)
    print("[", ",\n".join(json.dumps(row) for row in rows), "]", sep="\n")


def count(text: str) -> int:
    """A whole number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be at least 1")
    return number


def main() -> None:
    """Train all candidates and print their results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("candidates", type=Path, help="a YAML file")
    parser.add_argument("architectures", nargs="*", help="default: all in the file")
    parser.add_argument("--repeats", type=count, default=3)
    parser.add_argument("--processes", type=count, default=count_cores())
    options = parser.parse_args()
    candidates = read(options.candidates, options.architectures)
    plans = [planned(name, candidate, options.repeats) for name, candidate in candidates]
    todo = pieces(plans, "cpu")
    runs: dict[int, dict[int, Run]] = defaultdict(dict)
    try:
        for n_done, (piece, done) in enumerate(spread(run, todo, options.processes), start=1):
            runs[piece.plan][piece.seed] = done
            title = f"{piece.protocol.architecture}, candidate {piece.plan}, repeat {piece.seed}"
            result = percent(done.curve[-1]) if done.failure is None else done.failure
            print(f"{n_done} of {len(todo)}: {title}: {result}", file=sys.stderr)
    finally:
        print_results(plans, runs)


if __name__ == "__main__":
    try:
        main()
    except (HpoError, OSError, yaml.YAMLError) as error:
        sys.exit(f"error: {error}")
