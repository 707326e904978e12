"""Dropout whose masks are drawn elsewhere: what stands between a network and torch."""

from collections.abc import Sequence
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
    """Stands between a network and torch, and does its dropouts with rates between 0 and 1."""

    def drop(self, values: Tensor, rate: float) -> Tensor:
        """The values after a dropout; one member's, whose shape the network sees."""
        raise NotImplementedError

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Called by torch in place of its functions."""
        kwargs = kwargs or {}
        if function is nn.functional.dropout:
            values, rate = _dropout(*args, **kwargs)
            if 0 < rate < 1:
                return self.drop(values, rate)
        return function(*args, **kwargs)


class Asked(Dropouts):
    """Notes the dropouts that a network asks for, and drops nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.masks: list[Mask] = []

    def drop(self, values: Tensor, rate: float) -> Tensor:
        """The values as they are."""
        self.masks.append(Mask(values.shape, torch.empty_like(values).stride(), rate))
        return values


class Replayed(Dropouts):
    """Multiplies by masks that were drawn before, in the order in which they were asked for."""

    def __init__(self, masks: Sequence[Tensor]) -> None:
        super().__init__()
        self._masks = iter(masks)

    def drop(self, values: Tensor, rate: float) -> Tensor:
        """The values under the next mask."""
        return values * next(self._masks)


def _dropout(
    values: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> tuple[Tensor, float]:
    """What `torch.nn.functional.dropout` was called with; the rate is 0 outside training."""
    return values, p if training else 0.0
