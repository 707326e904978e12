"""Measure a configuration by repeated cross-validations on fresh examples and folds.

No search has seen these examples and folds. They are the same for all configurations, so that two
configurations are compared in pairs. The validation error of a search's choice would be biased: it
is the smallest of many noisy errors.
"""

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.searches import FOLDS, recipe, write
from hpo.architectures import architectures
from hpo.evaluation.cross_validation import CrossValidation
from hpo.seeds import derive
from hpo.settings import DEFAULT_BATCH_SIZE, DEFAULT_EPOCHS
from hpo.statistics import mean
from hpo.studies import recipes
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, repeatable
from hpo.training.metrics import error_function


REPEATS = 10
PURPOSE = "fresh"
"""Purpose of the seeds of draws and trainings. No study has the same seeds."""


@cache
def _folds(architecture: str, repeat: int) -> CrossValidation:
    _, data = recipes.find_dataset(None, architectures.get(architecture))
    seed = derive(PURPOSE, repeat)
    examples = data.draw_train(data.default_train_size, seed)
    return CrossValidation(examples, FOLDS, seed, torch.device("cpu"), error_function(data))


def errors(architecture: str, params: dict[str, Any], folder: Path) -> list[float]:
    """The error in each repeat, as a fraction; 1 if a fold diverged.

    A file in the folder keeps the errors, so that no configuration is measured twice.
    """
    digest = hashlib.sha256(json.dumps([architecture, params], sort_keys=True).encode())
    path = folder / f"{architecture}-{digest.hexdigest()[:16]}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write(path, {"params": params, "errors": _measure(architecture, params)})
    measured: list[float] = json.loads(path.read_text())["errors"]
    return measured


def _measure(architecture: str, params: dict[str, Any]) -> list[float]:
    defaults = recipe(architecture)
    config = TrainingConfig(
        architecture=architectures.get(architecture),
        params=params,
        epochs=params.get("epochs", defaults.epochs or DEFAULT_EPOCHS),
        batch_size=params.get("batch_size", defaults.batch_size or DEFAULT_BATCH_SIZE),
    )
    with repeatable():
        return [_repeat(config, number) for number in range(REPEATS)]


def _repeat(config: TrainingConfig, number: int) -> float:
    try:
        *_, trainings = _folds(config.architecture.name, number).run(config, (PURPOSE, number))
    except DivergedError:
        return 1.0
    return mean(training.curve[-1] for training in trainings)
