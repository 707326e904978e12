"""Asking a sampler for the configuration of one trial.

Samplers note things of the trial that they draw for, in Optuna's tables and at once: TPE and GP the
parameters, so that other workers keep away from them, CMA-ES its generation. By then the trial may
be another worker's, or its study may be half deleted. So the notes are kept here, and whoever holds
the trial writes them behind the fence, with the parameters.
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
class _Notebook:
    """Optuna's storage as a sampler sees it: what it writes of a trial is kept in `notes`."""

    storage: BaseStorage
    notes: dict[str, Any] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.storage, name)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.notes[key] = value


def suggest(
    study: optuna.Study, trial: FrozenTrial, distributions: Mapping[str, BaseDistribution]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sampler's configuration for a trial, and its notes on it: nothing is written here.

    Parameters with a single value are not asked for. The sampler sees every trial of the study.
    (Optuna's own loop shows it, under Hyperband, only those of the trial's bracket, which leaves it
    little to learn from in a small budget.)
    """
    notebook = _Notebook(study._storage)
    noted = copy.copy(study)
    noted._storage = cast(BaseStorage, notebook)
    sampler = noted.sampler
    sampler.before_trial(noted, trial)
    together = sampler.infer_relative_search_space(noted, trial)
    drawn = sampler.sample_relative(noted, trial, together)
    for name, distribution in distributions.items():
        if distribution.single():
            drawn[name] = _only(distribution)
        elif name not in drawn:
            drawn[name] = sampler.sample_independent(noted, trial, name, distribution)
    return drawn, notebook.notes


def _only(distribution: Any) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[0]
    return distribution.low
