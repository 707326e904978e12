"""Drawing the configuration of one trial from a sampler, without writing to the database.

Optuna's samplers write system attributes of the trial that they draw for. TPE and GP store the
parameters, so that concurrent workers draw other ones. CMA-ES stores its generation. While a
sampler draws, another worker may take the trial over, or the study may be deleted. The attributes
are therefore collected here. The worker writes them together with the parameters, in the
transaction that checks its claim on the trial.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial


@dataclass
class _CollectingStorage:
    """Optuna's storage, but system attributes of a trial are collected and not written."""

    storage: BaseStorage
    attributes: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.attributes[key] = value


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
