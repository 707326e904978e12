"""Trials that train nothing, run by a worker of hpo and by plain Optuna.

Both have the same 6 parameters, sampler, pruner and engine settings (those of hpo). They differ
only in what they ask of the database.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import log10
from typing import Any

import optuna
import torch
from optuna.pruners import BasePruner
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from hpo import machine, protocol
from hpo.protocol import Protocol
from hpo.search import pruners, samplers
from hpo.studies import lifecycle
from hpo.workers.objective import Objective
from hpo.workers.plan import make_plan
from storage import leases
from storage.claims import claim
from storage.engine import Database
from storage.leases import Claim, Heartbeat, Result, TrainingRecord


FOLDS = 5
PATIENCE_S = 60.0
"""Seconds that a worker waits for the database; then it fails."""

MERGES = ["concatenate", "difference", "maximum"]
SPACE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 3e-2, "log": True},
    "weight_decay": {"type": "float", "low": 1e-7, "high": 1e-1, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.6},
    "aux_weight": {"type": "float", "low": 0.0, "high": 3.0},
    "width": {"type": "int", "low": 8, "high": 256, "log": True},
    "merge": {"type": "categorical", "choices": MERGES},
}
KNOWN = {
    "learning_rate": 0.005,
    "weight_decay": 1e-5,
    "aux_weight": 1.0,
    "width": 64,
    "merge": "difference",
}


def make_protocol(sampler: str, n_known: int = 0) -> Protocol:
    """The protocol of a study whose first `n_known` trials are known configurations."""
    known = tuple({**KNOWN, "dropout": 0.6 * index / n_known} for index in range(n_known))
    data = {"dataset": "disk", "fingerprint": "", "train_size": 100, "test_size": 100}
    searched = {"architecture": "siamese", "space": SPACE, "known": known, "folds": FOLDS}
    return protocol.make(**data, **searched, sampler=sampler, pruner="hyperband")


def lockstep_pruner(frozen: Protocol) -> BasePruner:
    """Optuna's pruner of a protocol that names one of Optuna's."""
    pruning = pruners.make_pruning(frozen, frozen.epochs)
    if not isinstance(pruning, pruners.LockstepPruning):
        raise TypeError(f"{frozen.pruner} is not one of Optuna's pruners")
    return pruning.pruner


def error_of(params: Mapping[str, Any]) -> float:
    """A made-up validation error, lowest at a learning rate of 0.005 and dropout 0.25."""
    return float(abs(log10(params["learning_rate"] / 0.005)) / 4 + abs(params["dropout"] - 0.25))


@dataclass(frozen=True)
class Times:
    """Seconds that the parts of one trial of hpo took. `parameters_s` includes the draw."""

    claim_s: float
    parameters_s: float
    result_s: float


class Ours:
    """A worker of hpo on a study of these trials."""

    def __init__(self, db: Database, name: str, worker: str) -> None:
        self._db, self._worker = db, worker
        self._study = lifecycle.open_study(db, name)
        self._retry = partial(db.retry, timeout_s=PATIENCE_S)
        cpu = torch.device("cpu")
        self._objective = Objective(db, self._study, cpu, self._retry)
        frozen = self._study.protocol
        self._pruner = lockstep_pruner(frozen)
        self._plan = replace(make_plan(self._study.protocol), n_repeats=0)
        self.evaluated: list[int] = []
        self.times: list[Times] = []
        db.optuna.get_all_trials(self._study.id, deepcopy=False)

    def run(self, n_trials: int | None = None) -> None:
        """Run `n_trials` trials; None runs as many as there are to claim."""
        n_before = len(self.evaluated)
        while n_trials is None or len(self.evaluated) < n_before + n_trials:
            begun = time.perf_counter()
            held = self._retry(lambda: claim(self._db, self._study.id, self._plan, self._worker))
            if not isinstance(held, Claim):
                return
            self._do(held, begun)

    def _do(self, held: Claim, begun: float) -> None:
        claimed = time.perf_counter()
        with Heartbeat(self._db, held):
            study, _, params = self._retry(lambda: self._objective._sampled(held))
            sampled = time.perf_counter()
            error = error_of(params)
            self.evaluated.append(held.trial)

            def judge() -> bool:
                return self._pruner.prune(study, self._db.optuna.get_trial(held.trial_id))

            known = held.trial < len(self._plan.planned)
            report = partial(leases.report, self._db, held, n_epochs=1, errors={1: error})
            is_pruned = self._retry(lambda: report(judge=None if known else judge))
            result = _result("pruned" if is_pruned else "complete", error)
            self._retry(lambda: leases.record(self._db, held, result))
        ended = time.perf_counter()
        self.times.append(Times(claimed - begun, sampled - claimed, ended - sampled))


def _result(outcome: leases.Outcome, error: float) -> Result:
    folds = [
        TrainingRecord(fold=fold, curve=(error,), train_s=0.0, versions=machine.versions_json())
        for fold in range(FOLDS)
    ]
    return Result(outcome=outcome, error=error, n_parameters=1, trainings=folds)


class Plain:
    """A process that runs `study.optimize` of Optuna and keeps its sampler."""

    def __init__(self, db: Database, name: str, protocol: Protocol, seed: int) -> None:
        self._study = optuna.load_study(
            study_name=name,
            storage=db.optuna,
            sampler=samplers.make_sampler(protocol, seed),
            pruner=lockstep_pruner(protocol),
        )
        self.evaluated: list[int] = []
        self._study.get_trials(deepcopy=False)

    def run(self, n_trials: int | None = None, *, until: int | None = None) -> None:
        """Run `n_trials` trials, or trials until the study has `until` finished ones."""
        callbacks = (
            []
            if until is None
            else [MaxTrialsCallback(until, states=(TrialState.COMPLETE, TrialState.PRUNED))]
        )
        self._study.optimize(self._objective, n_trials=n_trials, callbacks=callbacks)

    def _objective(self, trial: optuna.Trial) -> float:
        self.evaluated.append(trial.number)
        params = {
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 3e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-7, 1e-1, log=True),
            "dropout": trial.suggest_float("dropout", 0.0, 0.6),
            "aux_weight": trial.suggest_float("aux_weight", 0.0, 3.0),
            "width": trial.suggest_int("width", 8, 256, log=True),
            "merge": trial.suggest_categorical("merge", MERGES),
        }
        error = error_of(params)
        trial.report(error, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return error
