"""A classification: is a tumour benign? scikit-learn bundles 30 measures of 569 tumours.

The shortest way to use your own network and data: a function and a class.

    hpo study create --architecture breast_cancer:perceptron \\
        --dataset breast_cancer:BreastCancer --space breast_cancer.yaml
    hpo worker --study breast_cancer.perceptron
"""

import hashlib
from collections.abc import Sequence

import torch
from sklearn.datasets import load_breast_cancer
from torch import nn

from hpo import Examples
from hpo.errors import InputError


N_FEATURES, N_CLASSES = 30, 2
N_TRAIN = 400


def perceptron(
    *, widths: Sequence[int] = (16, 32), dropout: float = 0.1, activation: str = "relu"
) -> nn.Module:
    """The factory of the network. A recipe may search its parameters; each has a default.

    The network gets inputs [N, 30], standardized feature by feature, and returns logits [N, 2]. The
    hyperparameters of the training (optimizer, learning rate, ...) are not parameters of a factory.
    """
    layers: list[nn.Module] = []
    n_in = N_FEATURES
    for width in widths:
        layers += [nn.Linear(n_in, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, N_CLASSES))


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class BreastCancer:
    """The data set: any object with the members of `hpo.DataSet`.

    A fixed shuffle splits the data once into a training pool and a test pool. The default training
    size is smaller than the training pool, so that each test run trains on other examples.
    """

    name = "breast cancer"
    task = "tumours"
    default_train_size = 300
    default_test_size = 150

    def __init__(self) -> None:
        bunch = load_breast_cancer()
        order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
        self._inputs = torch.from_numpy(bunch.data).float()[order]
        self._targets = torch.from_numpy(bunch.target).long()[order]
        self.max_train_size = N_TRAIN
        self.max_test_size = len(order) - N_TRAIN

    def fingerprint(self) -> str:
        """A hash of the examples and of the size of the training pool."""
        digest = hashlib.sha256(str(N_TRAIN).encode())
        digest.update(self._inputs.numpy().tobytes())
        digest.update(self._targets.numpy().tobytes())
        return digest.hexdigest()

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` examples of the training pool, chosen by `n` and `seed` alone."""
        return self._draw("training", n, seed, 0, self.max_train_size)

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` examples of the test pool, chosen by `n` and `seed` alone."""
        return self._draw("test", n, seed, N_TRAIN, self.max_test_size)

    def _draw(self, part: str, n: int, seed: int, first: int, most: int) -> Examples:
        if not 1 <= n <= most:
            raise InputError(f"{self.name}: cannot draw {n} {part} examples; draw 1 to {most}")
        # The draw has its own generator: the training uses torch's global one.
        chosen = torch.randperm(most, generator=torch.Generator().manual_seed(seed))[:n]
        return Examples(self._inputs[first + chosen], self._targets[first + chosen])
