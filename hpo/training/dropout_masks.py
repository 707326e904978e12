"""Dropout whose masks are drawn elsewhere: what stands between a network and torch."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class Mask(NamedTuple):
    """A dropout that a network asks for: of values that lie so in memory, with this rate.

    Where they lie matters: masks are drawn in that order.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    rate: float


class Dropouts(TorchFunctionMode):
    """Stands between a network and torch: `drop(values, rate)` does its dropouts.

    Those with rates between 0 and 1; the values are one member's, whose shape the network sees.
    """

    def __init__(self, drop: Callable[[Tensor, float], Tensor]) -> None:
        super().__init__()
        self._drop = drop

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Called by torch in place of its functions."""
        kwargs = kwargs or {}
        if function is nn.functional.dropout:
            values, rate = _dropout(*args, **kwargs)
            if 0 < rate < 1:
                return self._drop(values, rate)
        return function(*args, **kwargs)


def noted(masks: list[Mask]) -> Dropouts:
    """Adds to `masks` what a network asks for, and drops nothing."""

    def drop(values: Tensor, rate: float) -> Tensor:
        masks.append(Mask(values.shape, torch.empty_like(values).stride(), rate))
        return values

    return Dropouts(drop)


def replayed(masks: Sequence[Tensor]) -> Dropouts:
    """Multiplies by masks that were drawn before, in the order in which they were asked for."""
    left = iter(masks)
    return Dropouts(lambda values, rate: values * next(left))


def _dropout(
    values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> tuple[Tensor, float]:
    """What `torch.nn.functional.dropout` was called with; the rate is 0 outside training."""
    return values, p if training else 0.0
