"""The interface of a data set: examples of any shape, drawn by size and seed."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples; index i of the first dimension of each tensor belongs to example i.

    inputs: float32 [N, ...], not standardized; digit pairs are [N, 2, 14, 14] from 0 to 1.
    targets: for classification int64 [N], classes from 0; for regression float32 [N] or [N, D].
        The class of a digit pair is 1 if the first digit <= the second, else 0.
    auxiliary: int64 [N, P], labels for an auxiliary loss (the two digits of a pair), or None.
    """

    inputs: Tensor
    targets: Tensor
    auxiliary: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def subset(self, indices: Tensor) -> "Examples":
        """The examples at `indices` (int64 [M]), in that order, as copies."""
        auxiliary = None if self.auxiliary is None else self.auxiliary.index_select(0, indices)
        return Examples(
            self.inputs.index_select(0, indices), self.targets.index_select(0, indices), auxiliary
        )

    def copy(self) -> "Examples":
        """The same examples in memory of their own, for code that may change its arguments."""
        auxiliary = None if self.auxiliary is None else self.auxiliary.clone()
        return Examples(self.inputs.clone(), self.targets.clone(), auxiliary)

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples on `device`; tensors already on `device` are not copied."""
        auxiliary = None if self.auxiliary is None else self.auxiliary.to(device)
        return Examples(self.inputs.to(device), self.targets.to(device), auxiliary)


class DataSet(Protocol):
    """A source of training and test examples. Any class with these members is a data set.

    Sizes count examples; for digit pairs, an example is a pair. Every data set must obey these
    rules:

    - A draw depends only on the data, the part (training or test), n and the seed. It never
      depends on the process or on earlier draws.
    - No example of a test draw can occur in a training draw.
    - A size below 1 or above the maximum raises an `InputError`.
    - Two data sets with the same fingerprint draw the same examples.

    A data set may also define `error(answers, targets)`: the error of a network's answers, [N, K]
    or [N, D], to all held-out examples, as a float where 0 is best (see `hpo.training.metrics`).
    The data set defines the error so that all networks are measured in the same way.
    """

    @property
    def name(self) -> str:
        """The name in messages; a built-in data set is registered under this name."""

    @property
    def task(self) -> str:
        """The task that an architecture must have to fit these data, such as "digit pairs"."""

    @property
    def default_train_size(self) -> int:
        """Training examples of a study that sets no `--train-size`."""

    @property
    def default_test_size(self) -> int:
        """Test examples of a study that sets no `--test-size`."""

    @property
    def max_train_size(self) -> int:
        """Largest number of examples in one training draw."""

    @property
    def max_test_size(self) -> int:
        """Largest number of examples in one test draw."""

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of all data that examples are drawn from."""

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` training examples."""

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` test examples."""
