"""Exhaustive searches: full cross-validation of 60 random points of a recipe's space.

Their results are in `benchmarks/exhaustive/`, one file for each architecture and seed.
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
"""Folder of the results."""

POINTS = 60
"""Trials of an exhaustive search."""

FIRST_SEED = 100
"""Lowest seed of an exhaustive search. Searches that are compared with it have lower seeds."""


@dataclass(frozen=True, kw_only=True)
class Exhaustive:
    """One exhaustive search.

    `chosen` is the number of the chosen trial. `fresh_chosen` and `fresh_known` are the errors of
    the chosen and of the known configuration on fresh folds, as fractions.
    """

    architecture: str
    seed: int
    trials: tuple[Trial, ...]
    chosen: int
    fresh_chosen: Sequence[float]
    fresh_known: Sequence[float]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of the folder `KEPT`."""
        stored = json.loads(path.read_text())
        trials = tuple(Trial(**trial) for trial in stored.pop("trials"))
        return cls(trials=trials, **stored)

    @classmethod
    def run(cls, architecture: str, seed: int, folder: Path) -> Self:
        """Search and measure the choice; the folder keeps finished parts."""
        search = Search(
            architecture=architecture, sampler="random", pruner="none", seed=seed, known=False
        )
        trials = searches.kept(search, folder / "exhaustive", trials=POINTS)
        complete = [trial for trial in trials if trial.state == "complete"]
        chosen = min(complete, key=lambda trial: (trial.error, trial.number))
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
        return next(trial for trial in self.trials if trial.number == self.chosen)

    def write(self) -> None:
        """Write the search to its file in the folder `KEPT`."""
        path = KEPT / self.architecture / f"{self.seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        searches.write(path, asdict(self))


@dataclass(frozen=True)
class Goal:
    """The target of searches of one architecture: means over its exhaustive searches."""

    searches: tuple[Exhaustive, ...]

    @classmethod
    def read(cls, architecture: str) -> Self:
        """Read the exhaustive searches of an architecture.

        Raises:
            HpoError: the folder `KEPT` has no exhaustive search of the architecture.
        """
        paths = sorted((KEPT / architecture).glob("*.json"))
        if not paths:
            raise HpoError(f"{architecture} has no exhaustive search; make one with --exhaustive")
        return cls(tuple(Exhaustive.read(path) for path in paths))

    @property
    def error(self) -> float:
        """Mean error of the choices on fresh folds."""
        return mean(mean(search.fresh_chosen) for search in self.searches)

    @property
    def known_error(self) -> float:
        """Error of the known configuration on fresh folds."""
        return mean(self.searches[0].fresh_known)

    @property
    def fold_epochs(self) -> float:
        """Fold-epochs of one search."""
        return mean(sum(trial.fold_epochs for trial in search.trials) for search in self.searches)

    @property
    def seconds(self) -> float:
        """Seconds of one search, from its first claim to its last result."""
        return mean(search.trials[-1].ended_s for search in self.searches)
