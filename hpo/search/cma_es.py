"""CMA-ES that keeps nothing in the database but numbers: each draw replays the generations.

Optuna's own keeps its optimizer pickled among a trial's attributes and unpickles what it finds
there: whoever can write to the database could run code on every worker. Here the optimizer is made
afresh from the recorded errors, of which each trial's generation says where they belong.
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import optuna
from cmaes import CMA
from optuna._transform import _SearchSpaceTransform as Transform  # as Optuna's own samplers do
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import intersection_search_space
from optuna.trial import FrozenTrial, TrialState


GENERATION = "cma:generation"
"""The attribute of a trial that says which generation it was drawn for; Optuna's name for it."""


class CmaEs(BaseSampler):
    """Draws one trial's numeric parameters by CMA-ES and the others at random.

    The errors of complete trials count, planned ones apart, which no generation has drawn.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The numeric parameters; none before the first trial is complete."""
        found = intersection_search_space(study.get_trials(deepcopy=False))
        return {
            name: each
            for name, each in found.items()
            if isinstance(each, (FloatDistribution, IntDistribution)) and not each.single()
        }

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of `search_space`, drawn from the present generation."""
        if not search_space:
            return {}
        transform = Transform(search_space, transform_step=True, transform_0_1=True)
        optimizer = self._replayed(study, transform)
        study._storage.set_trial_system_attr(trial._trial_id, GENERATION, optimizer.generation)
        return transform.untransform(optimizer.ask())

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """A parameter that CMA-ES cannot draw."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _replayed(self, study: optuna.Study, transform: Transform) -> CMA:
        """The optimizer after each generation of which enough trials are complete."""
        complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        generations: dict[int | None, list[FrozenTrial]] = defaultdict(list)
        for each in complete:
            generations[_generation(each)].append(each)
        optimizer = _new(len(transform.bounds), self._seed)
        while len(drawn := generations[optimizer.generation]) >= optimizer.population_size:
            told = _first(drawn, optimizer.population_size)
            optimizer.tell([(transform.transform(t.params), float(t.values[0])) for t in told])
        return optimizer


def _new(n_parameters: int, seed: int) -> CMA:
    """An optimizer in the middle of the unit cube; `seed` is that of its next draw alone."""
    return CMA(
        mean=np.full(n_parameters, 0.5),
        sigma=1 / 6,
        bounds=np.tile([0.0, 1.0], (n_parameters, 1)),
        n_max_resampling=10 * n_parameters,
        seed=seed,
    )


def _generation(trial: FrozenTrial) -> int | None:
    """What the trial was drawn for; None where it was planned, or says something else."""
    number = trial.system_attrs.get(GENERATION)
    return number if isinstance(number, int) else None


def _first(trials: list[FrozenTrial], n: int) -> list[FrozenTrial]:
    """The first `n` that ended, by number: one that ends later changes nothing any more."""

    def ended(trial: FrozenTrial) -> float:
        return trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf

    return sorted(sorted(trials, key=ended)[:n], key=lambda trial: trial.number)
