"""What a network keeps: tensors and plain values, in whatever attribute they are.

torch's `state_dict` has the parameters and the persistent buffers alone. A network may also keep
values in plain attributes, in buffers that are not persistent, in lists and objects, in functions
and hooks, in its class and in the globals of its module.
"""

import hashlib
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


PLAIN = (bool, int, float, complex, str, bytes, type(None))

CODE = (type, ModuleType)

HOOKS = ("_forward_pre_hooks", "_forward_hooks")
"""The attributes of a module that hold what a user calls before and after it."""

INTERNAL = frozenset(vars(nn.Module())) - {*HOOKS}
"""The other attributes that every module has."""

MAX_VALUES = 100_000
"""Values that are described; further ones, such as a long list in a user's module, are left out."""

MAX_DEPTH = 8
"""Levels of lists, dicts and objects within a module that are looked at."""


def describe(model: nn.Module) -> dict[str, str]:
    """A text for each value that a network keeps, by a name such as `layers.0.mean`.

    Two values are equal if their texts are. The text of a tensor begins with "tensor". A value
    outside of the network itself has a name of the form `module:name`.
    """
    seen: set[int] = set()
    owners = {type(module): None for module in model.modules()}
    outside = chain.from_iterable(_of_class(owner, seen) for owner in owners)
    return dict(islice(chain(_of_module("", model, seen), outside), MAX_VALUES))


def _of_module(name: str, module: nn.Module, seen: set[int]) -> Iterator[tuple[str, str]]:
    registered = module._parameters | module._buffers | module._modules
    own = {key: value for key, value in vars(module).items() if key not in INTERNAL}
    for key in HOOKS:  # the keys of hooks count the hooks of the whole process
        own[key] = list(own.get(key, {}).values())
    for key, value in (registered | own).items():
        yield from _of_value(f"{name}.{key}" if name else key, value, seen)


def _of_class(owner: type, seen: set[int]) -> Iterator[tuple[str, str]]:
    """The values in a network's class, and in the globals of the Python module that defines it."""
    if _is_library(owner.__module__):
        return
    places: dict[str, object] = {f"{owner.__module__}:{owner.__qualname__}.": owner}
    places |= {f"{owner.__module__}:": sys.modules.get(owner.__module__)}
    for prefix, place in places.items():
        for key, value in getattr(place, "__dict__", {}).items():
            if not key.startswith("__"):
                yield from _of_value(f"{prefix}{key}", value, seen)


def _is_library(module: str) -> bool:
    """Whether a Python module belongs to torch or hpo, which keep nothing of a network."""
    return module.split(".")[0] in ("torch", "hpo")


def _of_value(
    name: str, value: object, seen: set[int], depth: int = 0
) -> Iterator[tuple[str, str]]:
    """The texts of a value and of all values in it; `seen` has the ids of those already named."""
    if isinstance(value, PLAIN):
        yield name, repr(value)
        return
    if isinstance(value, CODE) or id(value) in seen or depth > MAX_DEPTH:
        return
    seen.add(id(value))
    if isinstance(value, Tensor):
        yield name, _tensor_text(value)
    elif isinstance(value, np.ndarray):
        yield name, f"tensor of numpy {value.dtype} {value.shape} {_digest(value.tobytes())}"
    elif isinstance(value, torch.Generator):
        yield name, _tensor_text(value.get_state())
    elif isinstance(value, nn.Module):
        yield from _of_module(name, value, seen)
    else:
        for key, part in _parts(value):
            yield from _of_value(name + key, part, seen, depth + 1)


def _parts(value: Any) -> Iterator[tuple[str, object]]:
    """The parts of a container or an object, by what follows its name."""
    if isinstance(value, Mapping):
        yield from ((f"[{_key(key)}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | deque):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, set | frozenset):
        yield "", repr(sorted(repr(part) for part in value if isinstance(part, PLAIN)))
    elif isinstance(value, FunctionType):
        yield from _of_function(value)
    elif isinstance(value, MethodType):
        yield "", value.__self__
    elif isinstance(value, partial):
        yield from (("", value.func), ("", value.args), ("", value.keywords))
    else:
        for key in chain(*(_slots(base) for base in type(value).__mro__)):
            if hasattr(value, key):
                yield f".{key}", getattr(value, key)
        yield from ((f".{key}", part) for key, part in getattr(value, "__dict__", {}).items())


def _of_function(function: FunctionType) -> Iterator[tuple[str, object]]:
    """What a function keeps from call to call: outer variables, default values, attributes."""
    if _is_library(function.__module__ or ""):
        return
    for key, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # the outer variable has no value yet
            yield f".{key}", cell.cell_contents
    defaults = function.__defaults__ or ()
    n_arguments = function.__code__.co_argcount
    names = function.__code__.co_varnames[n_arguments - len(defaults) : n_arguments]
    for key, part in (
        *zip(names, defaults, strict=True),
        *(function.__kwdefaults__ or {}).items(),
        *vars(function).items(),
    ):
        yield f".{key}", part


def _slots(owner: type) -> tuple[str, ...]:
    slots = vars(owner).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _key(key: object) -> str:
    return repr(key) if isinstance(key, PLAIN) else type(key).__name__


def _tensor_text(tensor: Tensor) -> str:
    try:
        flat = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        content = _digest(flat.view(torch.uint8).numpy().tobytes())
    except (RuntimeError, TypeError, ValueError):  # for example sparse
        content = repr(tensor)
    return f"tensor of {tensor.dtype} {tuple(tensor.shape)} {content}"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
