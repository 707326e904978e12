"""When a trial is stopped: Optuna's pruners, one of our own, and where each of them can act.

A pruner is told errors at steps. In lockstep a step is an epoch of all folds. In turn it is an
epoch of one fold, whose epochs follow those of the fold before: with 25 epochs the second fold's
first is step 26. The error is the mean of the last errors of that fold and those before. Folds that
a GPU trains side by side are told of in the same way, the first one epoch by epoch, the others when
it has ended.
"""

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from statistics import stdev

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.trial import FrozenTrial, TrialState

from hpo.protocol import Protocol
from hpo.registry import Registry
from hpo.statistics import mean


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

    def errors(
        self, curves: Sequence[Sequence[float]], epochs: int, *, after: int
    ) -> dict[int, float]:
        """The error at each step that is known by now and comes `after` that one.

        `curves` are the errors of the folds begun so far, `epochs` those of a whole fold.
        """
        if not self.in_turn:
            known = range(after + 1, len(curves[0]) + 1)
            return {step: mean(curve[step - 1] for curve in curves) for step in known}
        found = {}
        for fold, curve in enumerate(curves):
            before = [each[-1] for each in curves[:fold]]
            for step, error in enumerate(curve, start=fold * epochs + 1):
                if step > after:
                    found[step] = mean([*before, error])
            if len(curve) < epochs:
                break
        return found


LOOKS = {0.1: 0.05, 0.25: 0.25, 0.5: 0.5}
"""The shares of the first fold after which the forgiving pruner is asked, and those of the best
trial's first fold with which it compares: what is twice as slow at first may still be good."""

SLACK = 0.5
"""What a trial is forgiven, in standard errors of the best trial's mean over as many folds."""


class ForgivingPruner(BasePruner):
    """Stops a trial that is worse than the best one was by then on the same folds.

    All trials of a study have the same folds, and some folds are harder for every trial. So the
    mean over a trial's folds so far is compared with the best trial's over these, and forgiven half
    a standard error. The forgiving rule of Bergman, Purucker and Hutter, "Don't Waste Your Time:
    Early Stopping Cross-Validation" (AutoML 2024), compares with the best trial's worst fold, which
    lets a poor trial pass on an easy fold. It looks at whole folds; here a trial is looked at amid
    its first one, too (`LOOKS`).

    A trial's folds are `n_folds`, at least 2, trained in turn for `epochs` each.
    """

    def __init__(self, epochs: int, n_folds: int) -> None:
        self._epochs = epochs
        self._n_folds = n_folds
        amid = {int(share * epochs): by for share, by in LOOKS.items() if by * epochs >= 1}
        self._shares = amid | {fold * epochs: 1.0 for fold in range(1, n_folds)}

    @property
    def steps(self) -> list[int]:
        """At which it can act."""
        return list(self._shares)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to be stopped; never before another is complete."""
        complete = [
            each
            for each in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if self._has_curves(each)
        ]
        step = trial.last_step
        if not complete or step is None or step not in self._shares:
            return False
        best = min(complete, key=lambda each: (each.value, each.number))
        share = self._shares[step]
        then = [curve[max(1, round(share * len(curve))) - 1] for curve in self._curves(best)]
        n_begun = math.ceil(step / self._epochs)
        slack = SLACK * stdev(then) / math.sqrt(n_begun)
        return trial.intermediate_values[step] > mean(then[:n_begun]) + slack

    def _has_curves(self, trial: FrozenTrial) -> bool:
        """Whether there is something to compare with; another program may have added the trial."""
        errors = trial.intermediate_values.values()
        return len(errors) >= self._n_folds and all(map(math.isfinite, errors))

    def _curves(self, trial: FrozenTrial) -> list[list[float]]:
        """The errors of each fold, from the means over all that had begun."""
        means = [error for _, error in sorted(trial.intermediate_values.items())]
        epochs = len(means) // self._n_folds  # those of another configuration, maybe
        curves: list[list[float]] = []
        for fold in range(self._n_folds):
            before = sum(curve[-1] for curve in curves)
            own = means[fold * epochs : (fold + 1) * epochs]
            curves.append([(fold + 1) * error - before for error in own])
        return curves


def _hyperband(protocol: Protocol, epochs: int) -> Pruning:
    rungs = [1]
    while rungs[-1] < epochs:
        rungs.append(REDUCTION * rungs[-1])
    pruner = HyperbandPruner(max_resource=protocol.epochs, reduction_factor=REDUCTION)
    return Pruning(pruner, rungs)


def _median(protocol: Protocol, epochs: int) -> Pruning:
    warmup = max(1, protocol.epochs // 5)
    return Pruning(MedianPruner(n_warmup_steps=warmup), range(warmup, epochs))


def _forgiving(protocol: Protocol, epochs: int) -> Pruning:
    pruner = ForgivingPruner(epochs, protocol.folds)
    return Pruning(pruner, pruner.steps, in_turn=True)


pruners: Registry[Callable[[Protocol, int], Pruning]] = Registry("pruner")
pruners.add("hyperband", _hyperband)
pruners.add("median", _median)
pruners.add("forgiving", _forgiving)
pruners.add("none", lambda protocol, epochs: Pruning(NopPruner(), ()))


def make_pruning(protocol: Protocol, epochs: int) -> Pruning:
    """The study's pruner for a trial of so many epochs, and the steps at which it can act."""
    return pruners.get(protocol.pruner)(protocol, epochs)
