"""Samplers by the name that a study's protocol stores. Most of them are Optuna's.

Two differ. CMA-ES is replaced because Optuna's stores pickles in the database (see `cma_es`). The
grid is replaced because Optuna's can draw a point twice if several workers run. Here the points of
a grid are planned trials, and each of them is claimed once.
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
from hpo.seeds import derive, derive_32


Space: TypeAlias = Mapping[str, BaseDistribution]


class Tpe(TPESampler):
    """Optuna's TPE with a known search space.

    Optuna's TPE infers the search space from all trials of a study. This sampler is created anew
    for each trial and would infer it each time. With thousands of trials that would double the
    time of a draw. The search space of a study never changes, so it is passed in.
    """

    def __init__(self, seed: int, space: Space) -> None:
        super().__init__(seed=seed)
        self._searched = {
            name: distribution
            for name, distribution in sorted(space.items())
            if not distribution.single()
        }

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The distributions of the parameters that have more than one value."""
        return dict(self._searched)


def _cma_es(seed: int, space: Space) -> BaseSampler:
    from hpo.search.cma_es import CmaEs  # loads scipy.stats, which takes a second

    return CmaEs(seed)


samplers: Registry[Callable[[int, Space], BaseSampler]] = Registry("sampler")
samplers.add("tpe", Tpe)
samplers.add("random", lambda seed, space: RandomSampler(seed=seed))
samplers.add("grid", samplers.get("random"))  # never draws: all trials of a grid are planned
samplers.add("gp", lambda seed, space: GPSampler(seed=seed))
samplers.add("cmaes", _cma_es)


def make_sampler(protocol: Protocol, trial: int, draw: int = 0) -> BaseSampler:
    """A new sampler for one draw, seeded by the study's seed and the trial's number.

    `draw` counts the draws for this trial; the first one is number 0.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        make = samplers.get(protocol.sampler)
        purpose = ("sampler", protocol.seed, trial)
        seed = derive_32(*purpose, "draw", draw) if draw else derive_32(*purpose)
        return make(seed, protocol.search_space.distributions())


def planned_trials(protocol: Protocol) -> list[dict[str, Any]]:
    """The configurations of the first trials, in Optuna's form.

    They are the protocol's own configurations, followed by the other points of a grid in random
    order.
    """
    space = protocol.search_space
    planned = [space.encode(params) for params in protocol.first]
    if protocol.sampler == "grid":
        points = [point for point in space.points() if point not in planned]
        random.Random(derive("grid", protocol.seed)).shuffle(points)
        planned += points
    return planned


def max_trials(protocol: Protocol) -> int | None:
    """The number of configurations that a study can try; None without a limit.

    A configuration that the recipe names as known several times counts as often.

    Raises:
        RecipeError: the sampler is the grid, and the values of a parameter are not countable or
            the grid has too many points.
    """
    space = protocol.search_space
    if protocol.sampler == "grid":
        return len(space.points())
    if not space.distributions():
        return 1
    if not (protocol.avoids_repeats and space.is_countable):
        return None
    return space.n_points + len(protocol.known) - len(set(map(space.key_of, protocol.known)))
