"""Exhaustive searches: full cross-validation of 60 random points of a recipe's space.

What they found is kept in `benchmarks/exhaustive/`, a file for each architecture and seed.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from benchmarks import fresh, searches
from benchmarks.searches import Search, Trial, recipe
from hpo.errors import HpoError
from hpo.statistics import mean


KEPT = Path(__file__).parent / "exhaustive"
POINTS = 60
FIRST_SEED = 100
"""Of their studies; no search that is compared with them has it or a later one."""


@dataclass(frozen=True, kw_only=True)
class Exhaustive:
    """One such search: all its trials, the chosen one, errors on fresh folds (fractions)."""

    architecture: str
    seed: int
    trials: tuple[Trial, ...]
    chosen: int
    fresh_chosen: Sequence[float]
    fresh_known: Sequence[float]

    @classmethod
    def read(cls, path: Path) -> Self:
        """From a file of `KEPT`."""
        written = json.loads(path.read_text())
        trials = tuple(Trial(**each) for each in written.pop("trials"))
        return cls(trials=trials, **written)

    @classmethod
    def run(cls, architecture: str, seed: int, folder: Path) -> Self:
        """Search and measure; the folder keeps what is done."""
        search = Search(
            architecture=architecture, sampler="random", pruner="none", seed=seed, known=False
        )
        trials = searches.kept(search, folder / "exhaustive", trials=POINTS)
        done = [each for each in trials if each.state == "complete"]
        chosen = min(done, key=lambda trial: (trial.error, trial.number))
        known = recipe(architecture).known[0]
        return cls(
            architecture=architecture,
            seed=seed,
            trials=tuple(trials),
            chosen=chosen.number,
            fresh_chosen=fresh.errors(architecture, chosen.params, folder / "fresh"),
            fresh_known=fresh.errors(architecture, known, folder / "fresh"),
        )

    @property
    def choice(self) -> Trial:
        """The chosen trial."""
        return next(each for each in self.trials if each.number == self.chosen)

    def write(self) -> None:
        """Keep it."""
        path = KEPT / self.architecture / f"{self.seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        searches.write(path, asdict(self))


@dataclass(frozen=True)
class Goal:
    """What searches of an architecture are measured against: means over its exhaustive searches."""

    found: tuple[Exhaustive, ...]

    @classmethod
    def read(cls, architecture: str) -> Self:
        """As it is kept.

        Raises:
            HpoError: no exhaustive search of this architecture is.
        """
        paths = sorted((KEPT / architecture).glob("*.json"))
        if not paths:
            raise HpoError(f"no exhaustive search of {architecture} is kept; use --exhaustive")
        return cls(tuple(Exhaustive.read(path) for path in paths))

    @property
    def error(self) -> float:
        """Of the choices, on fresh folds."""
        return mean(mean(each.fresh_chosen) for each in self.found)

    @property
    def known_error(self) -> float:
        """Of the known configuration, on fresh folds."""
        return mean(self.found[0].fresh_known)

    @property
    def fold_epochs(self) -> float:
        """Of one search."""
        return mean(sum(trial.fold_epochs for trial in each.trials) for each in self.found)

    @property
    def seconds(self) -> float:
        """Of one search, from its first claim to its last result."""
        return mean(each.trials[-1].ended_s for each in self.found)
