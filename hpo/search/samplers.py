"""Samplers and pruners by name, as a protocol freezes them; most are Optuna's.

CMA-ES is not, because Optuna's keeps pickles in the database (see `cma_es`), nor is the grid:
Optuna's gives a point twice when workers run side by side. Here a grid is a list: its points are
the configurations of the first trials, each given out once.
"""

import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from hpo.protocol import Protocol
from hpo.registry import Registry
from hpo.search.cma_es import CmaEs
from hpo.seeds import derive, derive_32
from search_spaces.space import SearchSpace


Space: TypeAlias = Mapping[str, BaseDistribution]


class Tpe(TPESampler):
    """Optuna's TPE, told the search space, which is frozen.

    Optuna's own looks for it in all trials, and a sampler that is made anew for each trial would do
    so each time: at thousands of trials that takes as long as all else that it does.
    """

    def __init__(self, seed: int, space: Space) -> None:
        super().__init__(seed=seed)
        self._frozen = {name: each for name, each in sorted(space.items()) if not each.single()}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are searched."""
        return dict(self._frozen)


samplers: Registry[Callable[[int, Space], BaseSampler]] = Registry("sampler")
samplers.add("tpe", Tpe)
samplers.add("random", lambda seed, space: RandomSampler(seed=seed))
samplers.add("grid", samplers.get("random"))  # never asked: all its trials are planned
samplers.add("gp", lambda seed, space: GPSampler(seed=seed))
samplers.add("cmaes", lambda seed, space: CmaEs(seed))


def make_sampler(protocol: Protocol, trial: int) -> BaseSampler:
    """A sampler for one trial, seeded by the study and the trial's number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        make = samplers.get(protocol.sampler)
        seed = derive_32("sampler", protocol.seed, trial)
        return make(seed, protocol.search_space.distributions())


def planned_trials(protocol: Protocol) -> list[dict[str, Any]]:
    """Configurations of the first trials, in Optuna's names: the protocol's, then a grid's."""
    space = protocol.search_space
    planned = [space.encode(each) for each in protocol.first]
    if protocol.sampler == "grid":
        points = [point for point in space.points() if point not in planned]
        random.Random(derive("grid", protocol.seed)).shuffle(points)
        planned += points
    return planned


def count_configurations(sampler: str, space: SearchSpace) -> int | None:
    """How many different trials there can be; None where there is no end to them.

    Raises:
        RecipeError: the sampler is the grid and a parameter has no countable values.
    """
    if sampler == "grid":
        return len(space.points())
    return 1 if not space.distributions() else None
