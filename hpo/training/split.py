"""Training and held-out examples, standardized by the training part alone."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from hpo.datasets import Examples
from hpo.training.metrics import Error, default_error


class Standardize(nn.Module):
    """Subtracts a mean and divides by a standard deviation, those of the training inputs."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()) if mean is None else mean)
        self.register_buffer("std", torch.ones(()) if std is None else std)

    @classmethod
    def of(cls, inputs: Tensor) -> Self:
        """Measured on `inputs`: feature by feature where they are [N, F], else one for all values.

        Inputs that are no floating-point numbers, such as the indexes of words, stay as they are.
        """
        if not inputs.is_floating_point():
            return cls()
        dims = (0,) if inputs.dim() == 2 else None
        std = inputs.std(dim=dims)
        return cls(inputs.mean(dim=dims), torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape, which stays."""
        return (inputs - self.mean) / self.std if inputs.is_floating_point() else inputs


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out examples, both standardized by the training ones alone.

    `error` is how wrong answers to the held-out ones are counted.
    """

    train: Examples
    held_out: Examples
    standardize: Standardize
    error: Error = default_error

    @classmethod
    def of(
        cls,
        train: Examples,
        held_out: Examples,
        device: torch.device,
        error: Error = default_error,
    ) -> Self:
        """Standardizes both and moves them to the device."""
        standardize = Standardize.of(train.inputs)
        return cls(
            standardized(train, standardize).to(device),
            standardized(held_out, standardize).to(device),
            standardize,
            error,
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """How many examples there are to train on, and held out."""
        return len(self.train), len(self.held_out)


def standardized(examples: Examples, standardize: Standardize) -> Examples:
    """The examples with their inputs standardized."""
    return Examples(standardize(examples.inputs), examples.targets, examples.auxiliary)
