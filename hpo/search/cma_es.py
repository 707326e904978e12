"""A CMA-ES sampler without pickled state: each draw replays all generations.

Optuna's CMA-ES sampler stores its pickled optimizer in a trial's attributes and unpickles it.
Anyone who can write to the database could then run code on every worker. This sampler rebuilds
the optimizer from the recorded errors. A trial stores only the number of its generation.
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
"""The system attribute that stores a trial's generation; Optuna's sampler uses the same name."""


class CmaEs(BaseSampler):
    """Draws the numeric parameters of one trial by CMA-ES, and the other parameters at random.

    The optimizer learns from complete trials that it drew itself. Planned trials have no
    generation and are ignored.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The numeric parameters; empty before the first trial is complete."""
        space = intersection_search_space(study.get_trials(deepcopy=False))
        numeric = (FloatDistribution, IntDistribution)
        return {
            name: distribution
            for name, distribution in space.items()
            if isinstance(distribution, numeric) and not distribution.single()
        }

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The parameters of `search_space`, drawn from the current generation."""
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
        """A random value of a parameter that CMA-ES does not draw."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)

    def _replayed(self, study: optuna.Study, transform: Transform) -> CMA:
        """The optimizer after all generations that have enough complete trials."""
        generations: dict[int | None, list[FrozenTrial]] = defaultdict(list)
        for trial in study.get_trials(deepcopy=False, states=[TrialState.COMPLETE]):
            generations[_generation(trial)].append(trial)
        optimizer = _new_optimizer(len(transform.bounds), self._seed)
        while len(trials := generations[optimizer.generation]) >= optimizer.population_size:
            population = _first_completed(trials, optimizer.population_size)
            optimizer.tell(
                [(transform.transform(t.params), float(t.values[0])) for t in population]
            )
        return optimizer


def _new_optimizer(n_parameters: int, seed: int) -> CMA:
    """An optimizer that starts at the centre of the unit cube; only its draws depend on `seed`."""
    return CMA(
        mean=np.full(n_parameters, 0.5),
        sigma=1 / 6,
        bounds=np.tile([0.0, 1.0], (n_parameters, 1)),
        n_max_resampling=10 * n_parameters,
        seed=seed,
    )


def _generation(trial: FrozenTrial) -> int | None:
    """The generation that the trial was drawn for; None if it was planned or stores no integer."""
    number = trial.system_attrs.get(GENERATION)
    return number if isinstance(number, int) else None


def _first_completed(trials: list[FrozenTrial], n: int) -> list[FrozenTrial]:
    """The `n` trials that completed first, sorted by number.

    Trials of the generation that complete later never change the result of a replay.
    """

    def completion_time(trial: FrozenTrial) -> float:
        return trial.datetime_complete.timestamp() if trial.datetime_complete else math.inf

    return sorted(sorted(trials, key=completion_time)[:n], key=lambda trial: trial.number)
