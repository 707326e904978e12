"""A reader of the parameters of a recipe, which are written in one of these forms:

{type: float, low: 0.1, high: 0.9, log: true}    also `step`; `type: int` likewise
{type: categorical, choices: [relu, tanh]}
{type: channels, choices: [8, 16, 32], layers: 3}
{values: [0.1, 0.2]}                             also with `type: float` or `type: int`
0.25, adam, true, [64, 128, 256]                 a bare value is fixed
"""

import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from search_spaces import checks
from search_spaces.checks import Written
from search_spaces.errors import RecipeError
from search_spaces.kinds import (
    Channels,
    Choice,
    Fixed,
    FloatRange,
    IntRange,
    Kind,
    Values,
    n_steps,
    on_grid,
)
from search_spaces.words import TYPES


T = TypeVar("T")
Number = TypeVar("Number", int, float)

MAX_STEPS = 1_000_000
"""Largest number of steps of a float range; more steps are an error."""
MAX_LAYERS = 100
"""Largest number of layers of `type: channels`; more layers are an error."""


def read_kind(written: object) -> Kind:
    """The kind of a parameter, read from its form in a recipe.

    Raises:
        RecipeError: the form is invalid. The message names the key, not the parameter.
    """
    if not isinstance(written, Mapping):
        return fixed(written)
    if "values" in written:
        return _values(written)
    if "type" not in written:
        raise RecipeError(f"type is missing; allowed: {checks.listed(READERS)}")
    kind = written["type"]
    if not isinstance(kind, str) or kind not in READERS:
        raise RecipeError(checks.unknown("type", kind, READERS, TYPES))
    return READERS[kind](written)


def fixed(written: object) -> Fixed:
    """A fixed parameter: a string, a number, true, false, or a list of these.

    Raises:
        RecipeError: the value is null, an empty list, or of another type.
    """
    if written is None:
        raise RecipeError("null is not a value; allowed: a value, or a map with a type")
    if not isinstance(written, (list, tuple)):
        return Fixed(checks.scalar(written))
    if not written:
        raise RecipeError("the list is empty; allowed: one entry or more")
    return Fixed(tuple(checks.scalar(entry) for entry in written))


def _float(written: Written) -> FloatRange:
    low, high, log, step = _range(written, lambda value: float(checks.number(value)))
    if high - low > sys.float_info.max:
        raise RecipeError(f"low {low} to high {high} is too wide; choose a narrower range")
    if step is None:
        return FloatRange(low, high, log)
    if (high - low) / step > MAX_STEPS:
        raise RecipeError(f"step {step} is too small for {low} to {high}; at most 1,000,000 steps")
    return FloatRange(low, on_grid(low, step, n_steps(low, high, step)), log, step)


def _int(written: Written) -> IntRange:
    low, high, log, step = _range(written, checks.whole)
    return IntRange(low, high - (high - low) % (step or 1), log, step)


def _range(
    written: Written, read: Callable[[object], Number]
) -> tuple[Number, Number, bool, Number | None]:
    """Read low, high, log and step of a range and check that they fit together."""
    checks.only_keys(written, ("type", "low", "high", "log", "step"))
    low, high = checks.entry(written, "low", read), checks.entry(written, "high", read)
    step = checks.optional(written, "step", read)
    log = checks.optional(written, "log", checks.flag) or False
    if low > high:
        raise RecipeError(f"low {low} is above high {high}; exchange the two")
    if step is not None and step <= 0:
        raise RecipeError(f"step {step} is not above 0")
    if log and step is not None:
        raise RecipeError("log and step cannot be combined; leave one out")
    if log and low <= 0:
        raise RecipeError(f"low {low} is not above 0; with log: true, low must be above 0")
    return low, high, log, step


def _categorical(written: Written) -> Choice:
    checks.only_keys(written, ("type", "choices"))
    return Choice(_scalars(written, "choices"))


def _values(written: Written) -> Choice:
    kind = written.get("type")
    if kind is None and "type" not in written:
        checks.only_keys(written, ("values",))
        return Choice(_scalars(written, "values"), None)
    if kind not in ("float", "int"):
        raise RecipeError(
            f"values need no type, or float or int; leave the type {checks.shown(kind)} out"
        )
    checks.only_keys(written, ("type", "values"))
    read = checks.whole if kind == "int" else lambda value: float(checks.number(value))
    return Choice(tuple(checks.entry(written, "values", _list_of(read))), kind)


def _scalars(written: Written, key: str) -> Values:
    return tuple(checks.entry(written, key, _list_of(checks.scalar)))


def _list_of(read: Callable[[object], T]) -> Callable[[object], list[T]]:
    """A function that reads a list whose entries `read` reads."""
    return lambda entries: [read(entry) for entry in checks.sequence(entries)]


def _channels(written: Written) -> Channels:
    checks.only_keys(written, ("type", "choices", "layers"))
    choices = sorted(checks.entry(written, "choices", _list_of(checks.positive)))
    if len(choices) < 2:
        raise RecipeError("choices: one is too few; allowed: two or more, or a fixed list")
    layers = checks.entry(written, "layers", checks.positive)
    if layers > MAX_LAYERS:
        raise RecipeError(f"layers: {layers} is too many; allowed: 1 to {MAX_LAYERS}")
    return Channels(tuple(choices), layers)


READERS: dict[str, Callable[[Written], Kind]] = {
    "float": _float,
    "int": _int,
    "categorical": _categorical,
    "channels": _channels,
}
"""The reader of each `type` of a parameter."""
