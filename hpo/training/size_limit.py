"""A limit on the size of a network, which applies before its memory is taken."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from hpo.errors import InputError


BYTES_PER_NUMBER = 16
"""Memory that training takes for each weight: the weight, its gradient and Adam's two averages."""

FACTORIES = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.randint)
)
"""The functions with which layers make their weights; torch's own layers use `torch.empty`."""


class SizeLimit(TorchFunctionMode):
    """A context in which the tensors that are made hold at most `max_numbers` numbers in all.

    Raises:
        InputError: the next tensor would exceed the limit; it is not made.
    """

    def __init__(self, max_numbers: int) -> None:
        super().__init__()
        self._max, self._n = max_numbers, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch in place of each of its functions."""
        keywords = kwargs or {}
        if func in FACTORIES:
            self._n += _count(args, keywords)
            if self._n > self._max:
                raise InputError(
                    f"the network would hold more than {self._max:,} numbers; make its layers "
                    "smaller"
                )
        return func(*args, **keywords)


def trainable_numbers() -> int:
    """The number of weights that this machine's memory can train."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory // BYTES_PER_NUMBER


def _count(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """The numbers in a new tensor of these arguments: `2, 3`, `(2, 3)` and `size=(2, 3)` give 6."""
    sizes = [size for size in (*args, kwargs.get("size")) if isinstance(size, (list, tuple))]
    return math.prod(abs(n) for n in (sizes[0] if sizes else args) if isinstance(n, int))
