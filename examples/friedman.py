"""A regression on generated data, scikit-learn's `make_friedman1`.

The architecture is an `hpo.Architecture`. It names its data set and its recipe, so that the command
does not have to. A package can register both under short names: see `README.md`.

    hpo study create --architecture friedman:NETWORK
    hpo worker --study friedman.NETWORK
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_friedman1
from torch import Tensor, nn

from hpo import Architecture, Examples
from hpo.errors import InputError
from hpo.seeds import derive_32


N_FEATURES = 10  # the targets depend on five of them
NOISE = 1.0
MAX_SIZE = 10_000
"""Most examples in a draw."""


class Residual(nn.Module):
    """A linear map plus one hidden layer. The class itself is the factory."""

    def __init__(self, *, width: int = 32, batch_norm: bool = False) -> None:
        super().__init__()
        self.line = nn.Linear(N_FEATURES, 1)
        norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        self.bend = nn.Sequential(
            nn.Linear(N_FEATURES, width), norm, nn.ReLU(), nn.Linear(width, 1)
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, 10] to the numbers [N, 1]."""
        numbers: Tensor = self.line(inputs) + self.bend(inputs)
        return numbers


class Friedman:
    """The data set. Each draw is generated from its size and its seed.

    Float targets make it a regression. The loss of a regression is the mean squared error. The
    error that the search and the tests compare is 1 - R^2, unless the data set defines its own
    error, as this one does.
    """

    name = "friedman"
    task = "regression of 10 features"
    default_train_size = 300
    default_test_size = 1000
    max_train_size = max_test_size = MAX_SIZE

    def error(self, answers: Tensor, targets: Tensor) -> float:
        """Root mean squared error in standard deviations of the targets.

        A constant answer, the mean of the targets, has error 1. The noise limits the error to 0.2
        or more. The error belongs to the data set, so that all networks are measured alike.
        """
        misses = answers.reshape(targets.shape) - targets
        return float(misses.square().mean().sqrt() / targets.std(correction=0))

    def fingerprint(self) -> str:
        """A hash of one draw of each part, which changes if scikit-learn generates other data."""
        digest = hashlib.sha256()
        for examples in (self.draw_train(100, 0), self.draw_test(100, 0)):
            for tensor in (examples.inputs, examples.targets):
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def draw_train(self, n: int, seed: int) -> Examples:
        """Inputs float32 [n, 10], targets float32 [n]."""
        return self._draw(0, n, seed)

    def draw_test(self, n: int, seed: int) -> Examples:
        """The same from other random numbers: no test example is a training example."""
        return self._draw(1, n, seed)

    def _draw(self, part: int, n: int, seed: int) -> Examples:
        if not 1 <= n <= MAX_SIZE:
            raise InputError(f"{self.name}: cannot draw {n} examples; draw 1 to {MAX_SIZE}")
        generator = np.random.RandomState([part, derive_32(self.name, n, seed)])
        inputs, targets = make_friedman1(n, N_FEATURES, noise=NOISE, random_state=generator)
        return Examples(torch.from_numpy(inputs).float(), torch.from_numpy(targets).float())


NETWORK = Architecture(
    build=Residual,
    task=Friedman.task,
    dataset="friedman:Friedman",
    recipe=Path(__file__).with_name("friedman.yaml"),
    source="examples/friedman.py",
)
