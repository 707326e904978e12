"""What networks of one factory share: anything that training changes must belong to one network.

Each fold, trial and test run needs a new network. If two networks share weights, the second goes
on from what the first has learned, perhaps from the second's held-out examples. Constants, such as
a frozen embedding, may be shared.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from hpo.errors import InputError


MAX_MEMBERS = 10_000
"""Lists, tuples and dicts with more members are not searched for tensors."""


class SharedNetworkError(InputError):
    """A new network shares with an earlier one what training changes."""

    def __init__(self, architecture: str, reason: str) -> None:
        super().__init__(
            f"the networks of {architecture} are not independent: {reason}; an error on held-out "
            "examples would mean nothing; build all layers anew at each call of the factory"
        )


_trained: WeakValueDictionary[int, nn.Parameter] = WeakValueDictionary()
"""The trainable weights of this process's networks, by the address of their memory."""


def check_new(architecture: str, model: nn.Module) -> None:
    """Check that a network shares no trainable weight with an earlier one that is in memory.

    Raises:
        SharedNetworkError: the network has a weight of an earlier network.
    """
    weights = [(name, w) for name, w in model.named_parameters() if w.requires_grad and address(w)]
    for name, weight in weights:
        earlier = _trained.get(address(weight))
        # The memory of a weight that was moved elsewhere may be in use for another weight.
        if earlier is not None and address(earlier) == address(weight):
            raise SharedNetworkError(architecture, f"two of them share the weight {name}")
    _trained.update((address(weight), weight) for _, weight in weights)


def address(tensor: Tensor) -> int:
    """What identifies the memory of a tensor; 0 for an empty and for a sparse tensor."""
    is_dense = tensor.layout is torch.strided
    return tensor.untyped_storage().data_ptr() if is_dense else 0


def shared_tensors(one: nn.Module, other: nn.Module) -> list[tuple[str, Tensor]]:
    """The tensors of one network whose memory the other one has, too, with their names."""
    addresses = {address(tensor) for _, tensor in _tensors(other)}
    return [
        (re.sub(r"\._(modules|parameters|buffers)\b", "", name).lstrip("."), tensor)
        for name, tensor in _tensors(one)
        if address(tensor) and address(tensor) in addresses
    ]


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return _search(model, "", set())


def _search(value: object, name: str, searched: set[int]) -> Iterator[tuple[str, Tensor]]:
    """The tensors in a value and its members, with their names."""
    if id(value) in searched:
        return
    searched.add(id(value))
    if isinstance(value, Tensor):
        yield name, value
    for key, member in _members(value):
        yield from _search(member, f"{name}.{key}", searched)


def _members(value: object) -> Iterable[tuple[Any, Any]]:
    """The members of a container; of a network its attributes and those of its class."""
    members: Mapping[Any, Any] = {}
    if isinstance(value, nn.Module):
        own = [vars(base) for base in type(value).__mro__ if base not in nn.Module.__mro__]
        members = {key: member for each in (*own, vars(value)) for key, member in each.items()}
    elif isinstance(value, dict):
        members = value
    elif isinstance(value, (list, tuple)):
        members = dict(enumerate(value))
    return list(members.items()) if len(members) <= MAX_MEMBERS else []
