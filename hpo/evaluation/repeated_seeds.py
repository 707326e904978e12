"""Test runs: the chosen configuration, trained once per seed, each time on newly drawn data.

The data of a test run depend only on the data set, the sizes and the run's seed. The same seed
draws the same training and test examples in every study, so that paired tests can compare
architectures.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from hpo.datasets import Examples, load_dataset
from hpo.protocol import Protocol
from hpo.seeds import derive
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
    for (training,) in run_together(protocol, trial, params, [seed], device):
        yield training


def run_together(
    protocol: Protocol,
    trial: int,
    params: Mapping[str, Any],
    seeds: Sequence[int],
    device: torch.device,
) -> Iterator[list[Training]]:
    """Train several test runs of a trial, as one batched model if the network allows.

    Yields all trainings after each epoch.

    Raises:
        DivergedError: the loss or the error of a run is not finite.
    """
    config = TrainingConfig.of(protocol, params)
    trainings = [
        Training(
            config,
            draw_split(protocol, seed, device),
            device,
            ("test", protocol.seed, trial, seed),
        )
        for seed in seeds
    ]
    units = together(trainings)
    for _ in range(config.epochs):
        for unit in units:
            unit.run_epoch()
        yield trainings


def draw_examples(protocol: Protocol, seed: int) -> tuple[Examples, Examples]:
    """The training and test examples of test run `seed`, as the data set draws them."""
    data = load_dataset(protocol.dataset)
    purpose = derive("test run", seed)
    train = data.draw_train(protocol.train_size, purpose)
    return train, data.draw_test(protocol.test_size, purpose)


def draw_split(protocol: Protocol, seed: int, device: torch.device) -> Split:
    """The training and test examples of test run `seed`, standardized with the training ones."""
    train, test = draw_examples(protocol, seed)
    return Split.of(train, test, device, error_function(load_dataset(protocol.dataset)))
