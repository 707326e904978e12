"""Test runs: the chosen configuration, trained once per seed, each time on newly drawn data.

The data of a test run depend only on the data set, the sizes and the run's seed. The same seed
draws the same training and test examples in every study, so that paired tests can compare
architectures.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from hpo.datasets import Examples, load_dataset
from hpo.datasets.draws import draw_test_run
from hpo.protocol import Protocol
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.metrics import error_function
from hpo.training.split import Split
from hpo.training.vectorized import together


def run(
    protocol: Protocol, trial: int, params: Mapping[str, Any], seed: int, device: torch.device
) -> Iterator[Training]:
    """Train one test run of a trial; yield the training after each epoch.

    `params` are in the recipe's form. The error after the last epoch is the run's test error.

    Raises:
        DivergedError: the loss or the error is not finite.
    """
    splits = {seed: draw_split(protocol, seed, device)}
    for (training,) in run_together(protocol, trial, params, splits, device):
        yield training


def run_together(
    protocol: Protocol,
    trial: int,
    params: Mapping[str, Any],
    splits: Mapping[int, Split],
    device: torch.device,
) -> Iterator[list[Training]]:
    """Train several test runs of a trial, as one batched model if the network allows.

    `splits` are the examples of each test run, by its seed. Yields all trainings after each epoch.

    Raises:
        DivergedError: the loss or the error of a run is not finite.
    """
    config = TrainingConfig.of(protocol, params)
    trainings = [
        Training(config, split, device, ("test", protocol.seed, trial, seed))
        for seed, split in splits.items()
    ]
    units = together(trainings)
    for _ in range(config.epochs):
        for unit in units:
            unit.run_epoch()
        yield trainings


def draw_examples(protocol: Protocol, seed: int) -> tuple[Examples, Examples]:
    """The training and test examples of test run `seed`, as the data set draws them.

    Raises:
        InputError: the examples are malformed, or the test examples are of another kind.
        DataError: the files of the data set are missing or damaged.
    """
    return draw_test_run(load_dataset(protocol.dataset), protocol, seed)


def draw_split(protocol: Protocol, seed: int, device: torch.device) -> Split:
    """The same examples, standardized with the training ones.

    Raises:
        InputError: the examples are malformed, or the test examples are of another kind.
        DataError: the files of the data set are missing or damaged.
    """
    train, test = draw_examples(protocol, seed)
    return Split.of(train, test, device, error_function(load_dataset(protocol.dataset)))
