"""The estimated cost of a study before it is created, timed on this machine.

One fold-epoch is one epoch of training on one fold.
"""

from dataclasses import dataclass, replace
from typing import Unpack

import torch

from hpo.datasets import load_dataset
from hpo.evaluation.cross_validation import CrossValidation
from hpo.foreign_code.trust import own_word
from hpo.protocol import Protocol
from hpo.registry import user_code
from hpo.search.samplers import planned_trials
from hpo.seeds import derive
from hpo.settings import StudySettings
from hpo.studies.draft import draft_study
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training, repeatable
from hpo.training.metrics import error_function


@dataclass(frozen=True, kw_only=True)
class Cost:
    """An upper limit of a study's cost; pruning lowers the cost.

    `trial_fold_epochs` counts the fold-epochs of all trials, `test_epochs` the epochs of all test
    runs. `fold_epoch_s` is the duration of one fold-epoch in seconds on one core. It is measured
    with the configuration of the study's first trial, else with the architecture's defaults. Larger
    networks and smaller batches in the search space take longer. `core_hours` is the duration of
    all epochs on one core.
    """

    name: str
    n_trials: int
    trial_fold_epochs: int
    test_epochs: int
    fold_epoch_s: float
    core_hours: float


def estimate(architecture: str, **settings: Unpack[StudySettings]) -> Cost:
    """Check the settings of a study as `create_study` does, and estimate the study's cost.

    Raises:
        InputError: a setting is wrong.
        RecipeError: the recipe is wrong.
    """
    with own_word(), repeatable():
        draft = draft_study(architecture, **settings)
        protocol = draft.protocol
        with user_code(f"{protocol.architecture} cannot be trained on {protocol.dataset}"):
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
    data = load_dataset(protocol.dataset)
    examples = data.draw_train(protocol.train_size, derive("search", protocol.seed))
    folds = CrossValidation(examples, protocol.folds, protocol.seed, cpu, error_function(data))
    space, planned = protocol.search_space, planned_trials(protocol)
    params = space.decode(planned[0]) if planned else space.fixed
    config = TrainingConfig.of(protocol, params)
    training = Training(
        replace(config, epochs=max(2, config.epochs)), folds.splits[0], cpu, ("cost",)
    )
    training.run_epoch()  # the first epoch is slower: torch prepares its kernels
    before = training.train_s
    training.run_epoch()
    return training.train_s - before
