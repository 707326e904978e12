"""When a trial is stopped: Optuna's pruners, one of our own, and where each of them can act.

A pruner is told errors at steps. In lockstep a step is an epoch, and the error is the mean over all
folds. In turn a step is a fold, trained to its end, and the error is the mean over those done.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from hpo.protocol import MAX_COUNT
from hpo.registry import Registry


REDUCTION = 3
"""Hyperband compares trials after 1, 3, 9, ... epochs and lets the best third of them go on."""


@dataclass(frozen=True)
class Pruning:
    """A pruner and the steps at which it can act; at others it need not be asked or told.

    `in_turn`: the folds are trained one after another instead of in lockstep.
    """

    pruner: BasePruner
    steps: Container[int]
    in_turn: bool = False


class ForgivingPruner(BasePruner):
    """Stops a trial whose mean over its folds so far is worse than the best trial's worst fold.

    Bergman, Purucker and Hutter, "Don't Waste Your Time: Early Stopping Cross-Validation"
    (AutoML 2024), where it is the forgiving rule.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be stopped; never before another is complete."""
        complete = [
            each
            for each in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if each.intermediate_values  # others were added by another program
        ]
        if not complete or trial.last_step is None:
            return False
        best = min(complete, key=lambda each: (each.value, each.number))
        return trial.intermediate_values[trial.last_step] > max(_errors_of_folds(best))


def _errors_of_folds(trial: FrozenTrial) -> list[float]:
    """The errors whose means over the first 1, 2, ... folds the trial has reported."""
    sums = [step * mean for step, mean in sorted(trial.intermediate_values.items())]
    return [after - before for before, after in zip([0.0, *sums], sums, strict=False)]


def _hyperband(epochs: int) -> Pruning:
    rungs = [1]
    while rungs[-1] < MAX_COUNT:
        rungs.append(REDUCTION * rungs[-1])
    return Pruning(HyperbandPruner(max_resource=epochs, reduction_factor=REDUCTION), rungs)


def _median(epochs: int) -> Pruning:
    warmup = max(1, epochs // 5)
    return Pruning(MedianPruner(n_warmup_steps=warmup), range(warmup, MAX_COUNT))


pruners: Registry[Callable[[int], Pruning]] = Registry("pruner")
pruners.add("hyperband", _hyperband)
pruners.add("median", _median)
pruners.add("forgiving", lambda epochs: Pruning(ForgivingPruner(), range(MAX_COUNT), in_turn=True))
pruners.add("none", lambda epochs: Pruning(NopPruner(), ()))
