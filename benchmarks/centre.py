"""Compare the centre of a search space with the known configuration and with random points.

Each search has one known configuration, the centre and ten random points, 3 folds, the recipe's
epochs and no pruner. It runs the real `hpo worker`. The validation errors are compared. The best of
the ten points is biased, as it is the smallest of ten noisy errors.

Prints progress to stderr and Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.centre --folder FOLDER
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import searches
from benchmarks.conditions import conditions, say
from benchmarks.searches import Search, recipe
from hpo.architectures import architectures
from hpo.subprocesses.pool import spread


POINTS = 10
SEED = 103
"""Seed of the random points. No other benchmark uses it."""


class Errors(NamedTuple):
    """Validation errors as fractions; infinity if the training failed."""

    known: float
    centre: float
    random: Sequence[float]

    @property
    def n_better(self) -> int:
        """Number of random points that are better than the centre."""
        return sum(error < self.centre for error in self.random)


def measure(job: tuple[str, Path]) -> Errors:
    """Search one architecture; the folder keeps the result."""
    architecture, folder = job
    search = Search(architecture=architecture, sampler="random", pruner="none", seed=SEED)
    trials = searches.kept(search, folder / "centre", trials=2 + POINTS)
    errors = [math.inf if trial.error is None else trial.error for trial in trials]
    return Errors(errors[0], errors[1], errors[2:])


def report(measured: dict[str, Errors]) -> str:
    """A table with a row for each architecture, and a sentence about all of them."""
    lines = ["| architecture | known, % | centre, % | best of ten, % | median of ten, % | better |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, errors in measured.items():
        median = statistics.median(errors.random)
        figures = (errors.known, errors.centre, min(errors.random), median)
        cells = [f"`{name}`", *(f"{100 * figure:.1f}" for figure in figures)]
        lines.append(
            "| " + " | ".join([*cells, f"{errors.n_better} of {len(errors.random)}"]) + " |"
        )
    n_better = sum(errors.centre < errors.known for errors in measured.values())
    share = statistics.mean(errors.n_better / len(errors.random) for errors in measured.values())
    lines.append(
        f"\nThe centre is better than the known configuration on {n_better} of "
        f"{len(measured)} networks. On average {share:.0%} of the random points are better than "
        "the centre."
    )
    return "\n".join(lines)


def main() -> None:
    """Run the searches that the folder does not have yet; print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("architectures", nargs="*", help="default: the whole zoo")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keeps finished searches for the next run")
    options = parser.parse_args()
    names = options.architectures or list(architectures)
    names = [name for name in names if recipe(name).known]
    with tempfile.TemporaryDirectory() as temporary:
        jobs = [(name, options.folder or Path(temporary)) for name in names]
        measured = {}
        for (name, _), errors in spread(measure, jobs, options.processes):
            measured[name] = errors
            say(
                f"{len(measured)} of {len(names)}: {name}: {errors.n_better} better than the centre"
            )
    print(f"{conditions('centre')}\n\n{report({name: measured[name] for name in names})}")


if __name__ == "__main__":
    main()
