"""What a study would cost, before it is created: counted in fold-epochs, timed on this machine."""

from dataclasses import dataclass, replace
from typing import Unpack

import torch

from hpo.datasets import load_dataset
from hpo.evaluation.cross_validation import CrossValidation
from hpo.protocol import Protocol
from hpo.search.samplers import planned_trials
from hpo.seeds import derive
from hpo.settings import StudySettings
from hpo.studies.draft import draft_study
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training, repeatable
from hpo.training.metrics import error_function


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The most that a study can cost; pruning makes it less.

    `fold_epoch_s` was timed on one core with the study's first configuration, or with the
    architecture's defaults; larger networks and smaller batches of the space cost more.
    """

    name: str
    n_trials: int
    trial_fold_epochs: int
    test_epochs: int
    fold_epoch_s: float
    core_hours: float


def estimate(architecture: str, **settings: Unpack[StudySettings]) -> Cost:
    """Check the settings of a study as creating it would, and say what it would cost.

    Raises:
        InputError, RecipeError: a setting is wrong.
    """
    draft = draft_study(architecture, **settings)
    protocol = draft.protocol
    with repeatable():
        seconds = _fold_epoch_s(protocol)
    fold_epochs = draft.n_trials * protocol.folds * protocol.epochs
    test_epochs = protocol.repeats * protocol.epochs
    return Cost(
        name=draft.name,
        n_trials=draft.n_trials,
        trial_fold_epochs=fold_epochs,
        test_epochs=test_epochs,
        fold_epoch_s=round(seconds, 4),
        core_hours=round((fold_epochs + test_epochs) * seconds / 3600, 2),
    )


def _fold_epoch_s(protocol: Protocol) -> float:
    cpu = torch.device("cpu")
    purpose = derive("search", protocol.seed)
    data = load_dataset(protocol.dataset)
    examples = data.draw_train(protocol.train_size, purpose)
    folds = CrossValidation(examples, protocol.folds, protocol.seed, cpu, error_function(data))
    space, planned = protocol.search_space, planned_trials(protocol)
    params = space.decode(planned[0]) if planned else space.fixed
    config = TrainingConfig.of(protocol, params)
    training = Training(
        replace(config, epochs=max(2, config.epochs)), folds.splits[0], cpu, ("cost",)
    )
    training.run_epoch()  # the first is slower: torch prepares its kernels
    before = training.train_s
    training.run_epoch()
    return training.train_s - before
