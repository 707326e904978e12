"""Samplers and pruners by name, as a protocol freezes them; all are Optuna's but the grid.

Optuna's grid sampler gives a point twice when workers run side by side. Here a grid is a list: its
points are the configurations of the first trials, each given out once.
"""

import random
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler

from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.registry import Registry
from hpo.seeds import derive, derive_32
from search_spaces.space import SearchSpace
from storage.claims import Plan


samplers: Registry[Callable[[int], BaseSampler]] = Registry("sampler")
samplers.add("tpe", lambda seed: TPESampler(seed=seed))
samplers.add("random", lambda seed: RandomSampler(seed=seed))
samplers.add("grid", lambda seed: RandomSampler(seed=seed))  # never asked: all trials are planned
samplers.add("gp", lambda seed: GPSampler(seed=seed))
samplers.add("cmaes", lambda seed: CmaEsSampler(seed=seed, warn_independent_sampling=False))

pruners: Registry[Callable[[int], BasePruner]] = Registry("pruner")
pruners.add("hyperband", lambda epochs: HyperbandPruner(max_resource=epochs))
pruners.add("median", lambda epochs: MedianPruner(n_warmup_steps=max(1, epochs // 5)))
pruners.add("none", lambda epochs: NopPruner())


def make_sampler(protocol: Protocol, trial: int) -> BaseSampler:
    """A sampler for one trial, seeded by the study and the trial's number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return samplers.get(protocol.sampler)(derive_32("sampler", protocol.seed, trial))


def make_pruner(protocol: Protocol) -> BasePruner:
    """The study's pruner; it is told the mean validation error at steps 1 to `epochs`."""
    return pruners.get(protocol.pruner)(protocol.epochs)


def planned_trials(protocol: Protocol) -> list[dict[str, Any]]:
    """Configurations of the first trials, in Optuna's names: the known ones, then a grid's."""
    space = protocol.search_space
    planned = [space.encode(known) for known in protocol.known]
    if protocol.sampler == "grid":
        points = [point for point in space.points() if point not in planned]
        random.Random(derive("grid", protocol.seed)).shuffle(points)
        planned += points
    return planned


def plan(protocol: Protocol) -> Plan:
    """What the claims of a study need to know of its protocol."""
    return Plan(
        planned=planned_trials(protocol),
        n_repeats=protocol.repeats,
        max_attempts=protocol.max_attempts,
        lease_s=protocol.lease_s,
    )


def count_configurations(sampler: str, space: SearchSpace) -> int | None:
    """How many different trials there can be; None where there is no end to them.

    Raises:
        RecipeError: the sampler is the grid and a parameter has no countable values.
    """
    if sampler == "grid":
        return len(space.points())
    return 1 if not space.distributions() else None


def check(sampler: str, pruner: str, space: SearchSpace) -> None:
    """See that both names are known and that the sampler can search this space.

    Raises:
        InputError: they are not, or it cannot.
    """
    samplers.get(sampler)
    pruners.get(pruner)
    numeric = [
        d
        for d in space.distributions().values()
        if not isinstance(d, optuna.distributions.CategoricalDistribution) and not d.single()
    ]
    if sampler == "cmaes" and space.distributions() and len(numeric) < 2:
        raise InputError("the sampler cmaes needs two numeric parameters to search; use tpe")
