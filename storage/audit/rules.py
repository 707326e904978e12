"""What the audit knows of a study besides its rows."""

import math
from collections.abc import Callable, Container, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution


Params: TypeAlias = Mapping[str, Any]
"""The parameters of a trial by Optuna's names."""

Curves: TypeAlias = Sequence[Sequence[float]]
"""The error after each epoch, for each fold."""

DAY_S = 86_400.0
"""Seconds by which the clocks of workers and databases may differ before an audit reports it."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What a study's protocol says about its records; what is None is not checked.

    n_folds: the number of folds of a trial.
    n_repeats: the number of test runs of the chosen trial.
    n_epochs: the maximum number of epochs of a training.
    min_trials, max_trials: the limits of the number of trials.
    max_attempts: the maximum number of attempts at a piece of work.
    lease_s: the length of a lease in seconds.
    distributions: the distribution of each parameter, by Optuna's names.
    planned: the parameters of the first trials.
    key: what identifies a configuration; trials with the same key are one candidate for the choice.
    epochs_of: the number of epochs of a training with these parameters.
    steps_of: the error at each step of a trial, from its epochs and its curves.
    judged_of: the steps at which the pruner judges a trial, from its epochs.
    """

    n_folds: int | None = None
    n_repeats: int | None = None
    n_epochs: int | None = None
    min_trials: int | None = None
    max_trials: int | None = None
    max_attempts: int | None = None
    lease_s: float | None = None
    distributions: Mapping[str, BaseDistribution] | None = None
    planned: Sequence[Params] = ()
    key: Callable[[Params], Hashable] | None = None
    epochs_of: Callable[[Params], int] | None = None
    steps_of: Callable[[int, Curves], Mapping[int, float]] | None = None
    judged_of: Callable[[int], Container[int]] | None = None


def exceeds(value: float, most: float | None) -> bool:
    """Whether the value is above the maximum; False without a maximum."""
    return most is not None and value > most


def is_close(left: float, right: float) -> bool:
    """Whether two numbers differ by rounding at most."""
    return math.isclose(left, right, rel_tol=1e-9, abs_tol=1e-12)
