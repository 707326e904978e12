"""Training and held-out examples, standardized with the training examples' statistics."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from hpo.datasets import Examples
from hpo.training.metrics import Error, default_error


class Standardize(nn.Module):
    """Subtracts the mean of the training inputs and divides by their standard deviation."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()) if mean is None else mean)
        self.register_buffer("std", torch.ones(()) if std is None else std)

    @classmethod
    def of(cls, inputs: Tensor) -> Self:
        """A module with the mean and standard deviation of `inputs`.

        Inputs [N, F] are standardized per feature. Inputs of any other shape have one mean and one
        standard deviation for all values. Inputs that are not floating-point, such as word
        indexes, are not standardized.
        """
        if not inputs.is_floating_point():
            return cls()
        dims = (0,) if inputs.dim() == 2 else None
        std = inputs.std(dim=dims)
        return cls(inputs.mean(dim=dims), torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Standardize inputs of the shape given to `of`, with any batch size."""
        return (inputs - self.mean) / self.std if inputs.is_floating_point() else inputs


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out examples, both standardized with the training examples' statistics.

    `error` measures answers to the held-out examples.
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
        """A split of the given examples, standardized and moved to the device."""
        standardize = Standardize.of(train.inputs)
        return cls(
            standardized(train, standardize).to(device),
            standardized(held_out, standardize).to(device),
            standardize,
            error,
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """The number of training examples and of held-out examples."""
        return len(self.train), len(self.held_out)


def standardized(examples: Examples, standardize: Standardize) -> Examples:
    """The same examples with standardized inputs."""
    return Examples(standardize(examples.inputs), examples.targets, examples.auxiliary)
