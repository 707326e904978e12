"""Drawing the configuration of one trial from a sampler, without writing to the database.

Optuna's samplers write system attributes of the trial that they draw for. TPE and GP store the
parameters, so that concurrent workers draw other ones. CMA-ES stores its generation. While a
sampler draws, another worker may take the trial over, or the study may be deleted. The attributes
are therefore collected here. The worker writes them together with the parameters, in the
transaction that checks its claim on the trial.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from hpo.protocol import Protocol
from hpo.search.samplers import make_sampler
from hpo.seeds import derive
from search_spaces.space import MAX_POINTS, Key


MAX_DRAWS = 20
"""Maximum number of draws for a trial as long as each draw repeats a finished trial."""


@dataclass
class _CollectingStorage:
    """Optuna's storage, but system attributes of a trial are collected and not written."""

    storage: BaseStorage
    attributes: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.attributes[key] = value


def suggest_new(
    study: optuna.Study, trial: FrozenTrial, protocol: Protocol
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters of a trial that no finished trial has, and the sampler's system attributes.

    A draw that repeats a finished trial is drawn again. If `MAX_DRAWS` draws are repeats, a
    configuration that is left of a countable search space is taken at random, without attributes;
    of another search space the last repeat is taken. The attributes are those of the last draw. A
    study of an older version draws once.

    The parameters are in Optuna's form, as they are stored.
    """
    space = protocol.search_space
    finished = _finished(study, protocol) if protocol.avoids_repeats else set[Key]()
    params, notes = dict[str, Any](), dict[str, Any]()
    for draw in range(MAX_DRAWS):
        study.sampler = make_sampler(protocol, trial.number, draw)
        drawn, notes = suggest(study, trial, space.distributions())
        params = space.canonical(drawn)
        if space.key(params) not in finished:
            return params, notes
    left = _left(protocol, finished)
    seed = derive("left over", protocol.seed, trial.number)
    return (random.Random(seed).choice(left), {}) if left else (params, notes)


def _left(protocol: Protocol, finished: set[Key]) -> list[dict[str, Any]]:
    """The configurations of a countable search space that are not finished."""
    space = protocol.search_space
    if not space.is_countable or space.n_points > MAX_POINTS:
        return []
    return [point for point in space.points() if space.key(point) not in finished]


def _finished(study: optuna.Study, protocol: Protocol) -> set[Key]:
    """The configurations of the trials that have an outcome."""
    space, names = protocol.search_space, protocol.search_space.distributions().keys()
    return {
        space.key(trial.params)
        for trial in study.get_trials(deepcopy=False)
        if trial.state.is_finished() and trial.params.keys() == names
    }


def suggest(
    study: optuna.Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the system attributes that the study's sampler draws for a trial.

    The parameters are in Optuna's form. Nothing is written to the database. Parameters with a
    single value are not drawn. The sampler sees all trials of the study. Under Hyperband, Optuna's
    own loop shows a sampler only the trials of the same bracket, which are few in a small budget.
    """
    storage = _CollectingStorage(study._storage)
    study = copy.copy(study)
    study._storage = cast(BaseStorage, storage)
    sampler = study.sampler
    sampler.before_trial(study, trial)
    relative_space = sampler.infer_relative_search_space(study, trial)
    params = sampler.sample_relative(study, trial, relative_space)
    for name, distribution in distributions.items():
        if distribution.single():
            params[name] = _single_value(distribution)
        elif name not in params:
            params[name] = sampler.sample_independent(study, trial, name, distribution)
    return params, storage.attributes


def _single_value(distribution: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low
