"""How good the centre of a search space is, beside the known configuration and random points.

Every architecture's search begins with its known configuration and the centre of its space. Here a
search by the real program goes on with ten random points, without a pruner: 3 folds, the recipe's
epochs. What is compared are validation errors; the best of ten is the least of ten noisy ones.

Prints progress to stderr, Markdown to stdout:

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
"""Of the random points; no other search here has it."""


class Beside(NamedTuple):
    """Validation errors (fractions; infinite where the training failed)."""

    known: float
    centre: float
    random: Sequence[float]

    @property
    def n_better(self) -> int:
        """How many of the random points are better than the centre."""
        return sum(each < self.centre for each in self.random)


def measure(job: tuple[str, Path]) -> Beside:
    """One search."""
    architecture, folder = job
    search = Search(architecture=architecture, sampler="random", pruner="none", seed=SEED)
    trials = searches.kept(search, folder / "centre", trials=2 + POINTS)
    errors = [math.inf if each.error is None else each.error for each in trials]
    return Beside(errors[0], errors[1], errors[2:])


def report(found: dict[str, Beside]) -> str:
    """A row each, and what they say together."""
    lines = ["| architecture | known, % | centre, % | best of ten, % | median of ten, % | better |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, each in found.items():
        middle = statistics.median(each.random)
        figures = (each.known, each.centre, min(each.random), middle)
        cells = [f"`{name}`", *(f"{100 * figure:.1f}" for figure in figures)]
        lines.append("| " + " | ".join([*cells, f"{each.n_better} of {len(each.random)}"]) + " |")
    n_better = sum(each.centre < each.known for each in found.values())
    share = statistics.mean(each.n_better / len(each.random) for each in found.values())
    lines.append(
        f"\nThe centre is better than the known configuration on {n_better} of {len(found)} "
        f"networks; in the mean {share:.0%} of the random points are better than it is."
    )
    return "\n".join(lines)


def main() -> None:
    """Measure what is not kept yet, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("architectures", nargs="*", help="default: all of the zoo")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="what is done is kept here, for another run")
    options = parser.parse_args()
    names = options.architectures or list(architectures)
    names = [name for name in names if recipe(name).known]
    with tempfile.TemporaryDirectory() as temporary:
        jobs = [(name, options.folder or Path(temporary)) for name in names]
        found = {}
        for (name, _), each in spread(measure, jobs, options.processes):
            found[name] = each
            say(f"{len(found)} of {len(names)}: {name}: {each.n_better} better than the centre")
    print(f"{conditions('centre')}\n\n{report({name: found[name] for name in names})}")


if __name__ == "__main__":
    main()
