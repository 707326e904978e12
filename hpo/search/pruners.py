"""When a trial is stopped early: Optuna's pruners, and the forgiving pruner of hpo.

A trial is judged by the error curves of its folds. The dashboard and Optuna's pruners know one
error for each step of a trial:

- Lockstep: all folds are trained epoch by epoch. A step is an epoch, its error the mean over all
  folds.
- In turn: the folds are trained one after another. A step is an epoch of one fold; steps count on
  through the folds, so with 25 epochs the first epoch of the second fold is step 26. Its error is
  the mean of this fold's error and the last errors of the folds before it.

On a GPU the folds train side by side also under a pruner that judges them in turn. Then the first
fold's steps are reported epoch by epoch, those of the others once the first fold has ended.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from statistics import stdev
from types import SimpleNamespace
from typing import Any, ClassVar, TypeAlias

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial

from hpo.protocol import Protocol
from hpo.registry import Registry
from hpo.statistics import mean


Curves: TypeAlias = Sequence[Sequence[float]]
"""The errors of a trial: one curve per started fold, with the error after each epoch."""

REDUCTION = 3
"""Hyperband compares trials after 1, 3, 9, ... epochs and lets the best third go on."""

LOOKS = {0.1: 0.05, 0.25: 0.25, 0.5: 0.5}
"""When the forgiving pruner judges a trial within its first fold.

A key is the share of the fold's epochs that the trial has trained. The value is the share of epochs
after which the best trial's first fold is read for the comparison. For example, the trial after
10 % is compared with the best trial after 5 %, because a good trial may learn slowly at first.
"""

SLACK = 0.5
"""How much worse than the best trial a trial may be before the forgiving pruner stops it.

The unit is the standard error of the best trial's mean over as many folds.
"""


@dataclass(frozen=True)
class LockstepPruning:
    """One of Optuna's pruners. The pruner can prune only at the steps `steps`."""

    pruner: BasePruner
    steps: Container[int]
    in_turn: ClassVar[bool] = False

    def errors(self, curves: Curves, *, after: int) -> dict[int, float]:
        """The errors of all known steps that come after the step `after`."""
        known = range(after + 1, len(curves[0]) + 1)
        return {step: mean(curve[step - 1] for curve in curves) for step in known}


class ForgivingPruning:
    """Stops a trial that is worse than the best complete trial was by then on the same folds.

    All trials of a study have the same folds, and some folds are harder for every trial. The mean
    over the trial's folds so far is therefore compared with the best trial's mean over the same
    folds. The trial's mean may be worse by half a standard error.

    The forgiving rule of Bergman, Purucker and Hutter, "Don't Waste Your Time: Early Stopping
    Cross-Validation" (AutoML 2024), differs in two ways. It compares with the best trial's worst
    fold, which spares a poor trial on an easy fold. It judges whole folds only, but this class also
    judges within the first fold (`LOOKS`).

    A trial has `n_folds` folds, at least 2, trained in turn for `epochs` each.
    """

    in_turn: ClassVar[bool] = True

    def __init__(self, epochs: int, n_folds: int) -> None:
        self._epochs = epochs
        first_fold = {
            int(share * epochs): of_best
            for share, of_best in LOOKS.items()
            if of_best * epochs >= 1
        }
        ends_of_folds = {fold * epochs: 1.0 for fold in range(1, n_folds)}
        self._share_of_best = {**first_fold, **ends_of_folds}

    @property
    def steps(self) -> list[int]:
        """The steps at which the pruner judges a trial."""
        return list(self._share_of_best)

    def errors(self, curves: Curves, *, after: int) -> dict[int, float]:
        """The errors of all known steps that come after the step `after`.

        Steps count on from fold to fold, so they end with the first fold that has not ended.
        """
        errors = {}
        for fold, curve in enumerate(curves):
            last_errors = [earlier[-1] for earlier in curves[:fold]]
            for step, error in enumerate(curve, start=fold * self._epochs + 1):
                if step > after:
                    errors[step] = mean([*last_errors, error])
            if len(curve) < self._epochs:
                break
        return errors

    def is_worse(self, curves: Curves, best: Curves, step: int) -> bool:
        """Whether a trial with these curves is clearly worse than the best one at this step.

        The best trial's curves may have another number of epochs, where epochs are searched.
        """
        if step not in self._share_of_best:
            return False
        share = self._share_of_best[step]
        of_best = [curve[max(1, round(share * len(curve))) - 1] for curve in best]
        n_begun = math.ceil(step / self._epochs)
        slack = SLACK * stdev(of_best) / math.sqrt(n_begun)
        return self.errors(curves, after=step - 1)[step] > mean(of_best[:n_begun]) + slack


Pruning: TypeAlias = LockstepPruning | ForgivingPruning


class Hyperband(HyperbandPruner):
    """Optuna's Hyperband, which assigns a trial to a bracket by the study's name and its number.

    `first_name` is the name with which the study was created. It is used in place of the present
    name, so that a renamed study goes on with the same brackets. None means the present name.
    """

    first_name: str | None = None

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        named: Any = SimpleNamespace(study_name=self.first_name or study.study_name)
        return super()._get_bracket_id(named, trial)


def _hyperband(protocol: Protocol, epochs: int) -> Pruning:
    rungs = [1]
    while rungs[-1] < epochs:
        rungs.append(REDUCTION * rungs[-1])
    pruner = Hyperband(max_resource=protocol.epochs, reduction_factor=REDUCTION)
    return LockstepPruning(pruner, rungs)


def _median(protocol: Protocol, epochs: int) -> Pruning:
    warmup = max(1, protocol.epochs // 5)
    return LockstepPruning(MedianPruner(n_warmup_steps=warmup), range(warmup, epochs))


pruners: Registry[Callable[[Protocol, int], Pruning]] = Registry("pruner")
pruners.add("hyperband", _hyperband)
pruners.add("median", _median)
pruners.add("forgiving", lambda protocol, epochs: ForgivingPruning(epochs, protocol.folds))
pruners.add("none", lambda protocol, epochs: LockstepPruning(NopPruner(), ()))


def make_pruning(protocol: Protocol, epochs: int, first_name: str | None = None) -> Pruning:
    """The study's pruner for trials of `epochs` epochs per fold.

    `first_name` is the name with which the study was created, if it has another one now.
    """
    pruning = pruners.get(protocol.pruner)(protocol, epochs)
    if isinstance(pruning, LockstepPruning) and isinstance(pruning.pruner, Hyperband):
        pruning.pruner.first_name = first_name
    return pruning
