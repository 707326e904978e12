"""Classes: is a tumour benign? 30 measures of 569 tumours, a bundled data set of scikit-learn.

The smallest way to bring a network and data of your own: a function and a class.

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
    """The factory: its parameters are what a recipe may search, and each has a default.

    Inputs [N, 30] come standardized, feature by feature; the answer is logits [N, 2]. What a fit
    needs besides (optimizer, learning rate, weight decay, ...) is not the network's business.
    """
    layers: list[nn.Module] = []
    n_in = N_FEATURES
    for width in widths:
        layers += [nn.Linear(n_in, width), ACTIVATIONS[activation](), nn.Dropout(dropout)]
        n_in = width
    return nn.Sequential(*layers, nn.Linear(n_in, N_CLASSES))


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


class BreastCancer:
    """The data set: anything with these members, see `hpo.DataSet`.

    A fixed shuffle splits it once into a training and a test pool. The default training size is
    smaller than its pool, so that each test run trains on other examples.
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
        """Whoever works on a study needs the same examples in the same pools."""
        digest = hashlib.sha256(str(N_TRAIN).encode())
        digest.update(self._inputs.numpy().tobytes())
        digest.update(self._targets.numpy().tobytes())
        return digest.hexdigest()

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` of the first 400, which depend on `n` and `seed` alone."""
        return self._draw("training", n, seed, 0, self.max_train_size)

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` of the others."""
        return self._draw("test", n, seed, N_TRAIN, self.max_test_size)

    def _draw(self, part: str, n: int, seed: int, first: int, most: int) -> Examples:
        if not 1 <= n <= most:
            raise InputError(f"{n} {part} examples of {self.name} were asked for; 1 to {most} can")
        # A generator of the draw's own: torch's global one belongs to the training.
        chosen = torch.randperm(most, generator=torch.Generator().manual_seed(seed))[:n]
        return Examples(self._inputs[first + chosen], self._targets[first + chosen])
