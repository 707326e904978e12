"""Running one trial: sample a configuration, cross-validate it, report its errors, prune it."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import optuna
import torch

from hpo import machine
from hpo.architectures import count_parameters
from hpo.datasets import load_dataset
from hpo.datasets.draws import draw_search
from hpo.evaluation.cross_validation import CrossValidation
from hpo.registry import user_code
from hpo.search.pruners import Curves, ForgivingPruning, Pruning, make_pruning
from hpo.search.samplers import make_sampler
from hpo.search.suggest import suggest_new
from hpo.statistics import mean
from hpo.studies.checks import N_TRIED, trial_split
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.independence import error_of_new_network
from hpo.training.metrics import error_function
from hpo.training.optimization import warm_up
from hpo.workers.boundary import own
from hpo.workers.reporter import Reporter, Retry
from storage import leases, renaming, studies
from storage.engine import Database
from storage.leases import Claim, Result, TrainingRecord
from storage.optuna_tables import PLANNED_PARAMETERS


class Objective:
    """Runs the trials of one study, on data that is drawn and standardized once."""

    def __init__(
        self,
        db: Database,
        study: Study,
        device: torch.device,
        retry: Retry[Any],
        *,
        vectorized: bool = False,
    ) -> None:
        """Draw the data; with `vectorized` the folds of a trial are trained as one model.

        Raises:
            InputError: the data set cannot be loaded or drawn from.
        """
        warm_up()
        self._db, self._study, self._device, self._retry = db, study, device, retry
        protocol = study.protocol
        self._space = protocol.search_space
        self._distributions = self._space.distributions()
        with user_code(f"data set {protocol.dataset} cannot be drawn from"):
            data = load_dataset(protocol.dataset)
            examples = draw_search(data, protocol)
        self._few = trial_split(protocol, examples, data, device)
        self._is_checked = False
        self._folds = CrossValidation(
            examples,
            protocol.folds,
            protocol.seed,
            device,
            error_function(data),
            vectorized=vectorized,
        )

    def run(self, claim: Claim, reporter: Reporter, pause: Callable[[], None]) -> Result:
        """Run the claimed trial until its last epoch or until it is pruned; its result.

        The protocol's first trials are never pruned. `pause` is called after every epoch of a
        fold; what it raises ends the trial.

        Raises:
            LeaseLostError: another worker has the trial now.
            DivergedError: the loss of a fold is not finite.
            SharedNetworkError: the networks of the architecture are not independent.
        """
        study, first_name, params = self._retry(lambda: self._sampled(claim))
        protocol = self._study.protocol
        config = TrainingConfig.of(protocol, self._space.decode(params))
        self._check_networks(config)
        seed = ("trial", protocol.seed, claim.trial)
        n_unpruned, n_total = len(protocol.first), protocol.folds * config.epochs
        pruning = make_pruning(protocol, config.epochs, first_name)
        outcome: leases.Outcome = "complete"
        trainings: list[Training] = []
        step = 0
        for trainings in self._folds.run(config, seed, pause, in_turn=pruning.in_turn):
            curves = [training.curve for training in trainings]
            errors = pruning.errors(curves, after=step)
            step += len(errors)
            n_done = sum(map(len, curves))
            reporter.advance(n_done // protocol.folds, errors)
            is_judged = claim.trial >= n_unpruned and n_done < n_total and step in pruning.steps
            if is_judged and self._stops(pruning, study, claim, reporter, curves, step):
                outcome = "pruned"
                break
        return make_result(outcome, trainings, reporter)

    def _check_networks(self, config: TrainingConfig) -> None:
        """Check once that networks are independent, within a claim: the network may do anything.

        Studies of older versions were created without this check.
        """
        if not self._is_checked:
            error_of_new_network(replace(config, batch_size=N_TRIED), self._few, self._device)
            self._is_checked = True

    def _stops(
        self,
        pruning: Pruning,
        study: optuna.Study,
        claim: Claim,
        reporter: Reporter,
        curves: Curves,
        step: int,
    ) -> bool:
        """Write the trial's errors to the database; whether the pruner then stops the trial."""
        if isinstance(pruning, ForgivingPruning):
            reporter.write()
            return own(self._is_worse)(pruning, curves, step)

        def ask() -> bool:
            return pruning.pruner.prune(study, self._db.optuna.get_trial(claim.trial_id))

        return reporter.write(ask)

    def _is_worse(self, pruning: ForgivingPruning, curves: Curves, step: int) -> bool:
        """Whether a trial with these curves is clearly worse than the best one.

        Raises:
            DamagedError: the curves of the best trial are damaged.
        """
        with damage_reported(self._study.name):
            best = self._retry(partial(studies.best_curves, self._db, self._study.id))
            return best is not None and pruning.is_worse(curves, best, step)

    def _sampled(self, claim: Claim) -> tuple[optuna.Study, str, dict[str, Any]]:
        """Optuna's study, the name with which it was created, and the trial's parameters.

        The study is opened anew, so that the sampler sees every result recorded until now, and
        under its present name, because it may have been renamed since the worker began.
        """
        name, first_name = renaming.names(self._db, claim.study_id)
        study = optuna.load_study(
            study_name=name,
            storage=self._db.optuna,
            sampler=make_sampler(self._study.protocol, claim.trial),
        )
        return study, first_name, self._parameters(study, claim)

    def _parameters(self, study: optuna.Study, claim: Claim) -> dict[str, Any]:
        """The trial's parameters: those of an earlier attempt, else planned, else sampled."""
        trial = self._db.optuna.get_trial(claim.trial_id)
        if trial.params.keys() == self._distributions.keys():
            return dict(trial.params)
        params, notes = trial.system_attrs.get(PLANNED_PARAMETERS), dict[str, Any]()
        if params is None:
            params, notes = suggest_new(study, trial, self._study.protocol)
        values = {
            name: (params[name], distribution) for name, distribution in self._distributions.items()
        }
        leases.write_parameters(self._db, claim, values, self._shown(params), notes)
        return params

    def _shown(self, params: dict[str, Any]) -> dict[str, Any]:
        """The hyperparameters that are lists, which Optuna's tables show only as indices."""
        decoded = self._space.decode(params)
        return {name: value for name, value in decoded.items() if isinstance(value, (list, tuple))}


def make_result(outcome: leases.Outcome, trainings: list[Training], reporter: Reporter) -> Result:
    """The result of trainings that have ended; its error is the mean of their last errors."""
    return Result(
        outcome=outcome,
        error=mean(training.curve[-1] for training in trainings),
        n_parameters=count_parameters(trainings[0].model),
        n_epochs=reporter.n_epochs,
        errors=reporter.unreported,
        trainings=[
            TrainingRecord(
                fold=fold,
                curve=tuple(training.curve),
                train_s=training.train_s,
                versions=machine.versions_json(),
            )
            for fold, training in enumerate(trainings)
        ],
    )
