"""What a data set has to be for the service: examples of any shape, drawn by size and seed."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Examples:
    """N examples that belong together by their first dimension.

    inputs: float32 [N, ...], not standardized; digit pairs are [N, 2, 14, 14] from 0 to 1.
    targets: int64 [N], classes from 0 (for digit pairs 1 where the first digit <= the second,
        else 0), or float32 [N] or [N, D], numbers to come close to (regression).
    auxiliary: int64 [N, P], what an auxiliary loss may learn from (the two digits), or None.
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

    def to(self, device: torch.device | str) -> "Examples":
        """The same examples on `device`; what lies there already is not copied."""
        auxiliary = None if self.auxiliary is None else self.auxiliary.to(device)
        return Examples(self.inputs.to(device), self.targets.to(device), auxiliary)


class DataSet(Protocol):
    """Where examples are drawn from.

    The laws: a draw depends on the data, its part (training or test), n and the seed alone, never
    on the process or on earlier draws; no example of a test draw can be in a training draw; a
    size below 1 or over the maximum is an `InputError`; two data sets of one fingerprint draw the
    same. Sizes count examples (pairs, for digit pairs). Any class with these members will do.

    It may also define `error(answers, targets)`: how wrong a network's answers [N, K] or [N, D] to
    all held-out examples are, a float from 0, which is best (see `hpo.training.metrics`). The error
    belongs to the data, so that all networks on them are measured alike.
    """

    @property
    def name(self) -> str:
        """What it is called in messages; hpo's own are registered under it."""

    @property
    def task(self) -> str:
        """What an architecture has to be made for, such as "digit pairs"."""

    @property
    def default_train_size(self) -> int:
        """The training examples of a study that asks for no number."""

    @property
    def default_test_size(self) -> int:
        """The test examples of a study that asks for no number."""

    @property
    def max_train_size(self) -> int:
        """The most training examples that one draw can have."""

    @property
    def max_test_size(self) -> int:
        """The most test examples that one draw can have."""

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of what is drawn from."""

    def draw_train(self, n: int, seed: int) -> Examples:
        """`n` training examples."""

    def draw_test(self, n: int, seed: int) -> Examples:
        """`n` test examples."""
