"""Numbers: a regression on data made on the spot, scikit-learn's `make_friedman1`.

Here the architecture is more than a function: it names its data set and its recipe, so that nobody
has to. A package may offer both under short names; see `README.md`.

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


N_FEATURES = 10  # five of them say nothing
NOISE = 1.0
MOST = 10_000


class Residual(nn.Module):
    """A straight line plus what a hidden layer adds; a class is a factory, too."""

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
    """Each draw is made anew from its size and its seed; float targets make it a regression.

    Where targets are numbers the loss is their mean squared error, and the error that counts in
    the search and in the tests is 1 - R^2 unless the data set defines one, as here.
    """

    name = "friedman"
    task = "regression of 10 features"
    default_train_size = 300
    default_test_size = 1000
    max_train_size = max_test_size = MOST

    def error(self, answers: Tensor, targets: Tensor) -> float:
        """Root mean squared error in standard deviations of the targets.

        Always to say the mean has error 1; the noise alone leaves 0.2, and nobody gets below.
        The error belongs to the data, not to a network, so that all networks are measured alike.
        """
        misses = answers.reshape(targets.shape) - targets
        return float(misses.square().mean().sqrt() / targets.std(correction=0))

    def fingerprint(self) -> str:
        """A draw of each part stands for the rule and for how scikit-learn carries it out."""
        digest = hashlib.sha256()
        for examples in (self.draw_train(100, 0), self.draw_test(100, 0)):
            for tensor in (examples.inputs, examples.targets):
                digest.update(tensor.numpy().tobytes())
        return digest.hexdigest()

    def draw_train(self, n: int, seed: int) -> Examples:
        """Inputs float32 [n, 10], targets float32 [n]."""
        return self._draw(0, n, seed)

    def draw_test(self, n: int, seed: int) -> Examples:
        """The same from other numbers: no test example is a training example."""
        return self._draw(1, n, seed)

    def _draw(self, part: int, n: int, seed: int) -> Examples:
        if not 1 <= n <= MOST:
            raise InputError(f"{n} examples of {self.name} were asked for; 1 to {MOST} can be had")
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
