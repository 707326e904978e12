"""Dropout with masks that are drawn outside the network, by intercepting torch's dropout."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Mask(NamedTuple):
    """The mask that one dropout call needs: shape and memory layout of its values, and its rate.

    The strides matter because torch draws the entries of a mask in memory order.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    rate: float


class Dropouts(TorchFunctionMode):
    """A context in which `drop(values, rate)` replaces torch's dropout.

    Only dropouts in training with a rate strictly between 0 and 1 are replaced. If several
    networks are vectorized, `values` has the shape that a single network sees.
    """

    def __init__(self, drop: Callable[[Tensor, float], Tensor]) -> None:
        super().__init__()
        self._drop = drop

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Intercept one call of a torch function."""
        kwargs = kwargs or {}
        if function is nn.functional.dropout:
            values, rate = _dropout(*args, **kwargs)
            if 0 < rate < 1:
                return self._drop(values, rate)
        return function(*args, **kwargs)


def recording_masks(masks: list[Mask]) -> Dropouts:
    """A context that appends the mask of each dropout to `masks` and drops nothing."""

    def drop(values: Tensor, rate: float) -> Tensor:
        masks.append(Mask(values.shape, torch.empty_like(values).stride(), rate))
        return values

    return Dropouts(drop)


def replaying_masks(masks: Sequence[Tensor]) -> Dropouts:
    """A context that multiplies the values of the i-th dropout by the i-th mask."""
    remaining = iter(masks)
    return Dropouts(lambda values, rate: values * next(remaining))


def _dropout(
    values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> tuple[Tensor, float]:
    """The values and the rate of a `functional.dropout` call; the rate is 0 outside training."""
    return values, p if training else 0.0
