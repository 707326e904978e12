"""The kinds of parameters: what each may be, how many values it has, how Optuna sees it.

Optuna sees a parameter as zero, one or several named values: none where it is fixed, one for each
layer of `channels`, else one. `encode` goes from a value in the recipe's own form to the tuple of
Optuna's values, `decode` back.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from search_spaces.checks import Scalar, listed, number, same, shown, whole
from search_spaces.errors import RecipeError


Values = tuple[Scalar, ...]


class Kind(ABC):
    """One parameter's range; immutable, and equal where the range is."""

    def optuna_names(self, name: str) -> tuple[str, ...]:
        """The names under which Optuna stores a parameter called `name`."""
        return (name,)

    @abstractmethod
    def to_json(self) -> Any:
        """The form in which a recipe writes it."""

    @abstractmethod
    def encode(self, value: object) -> Values:
        """Optuna's values of an own value; RecipeError where it is out of range."""

    @abstractmethod
    def decode(self, values: Values) -> Any:
        """The own value of Optuna's values."""

    def canonical(self, values: Values) -> Values:
        """The one form of Optuna's values that stands for all that mean the same."""
        return values

    @property
    @abstractmethod
    def centre(self) -> Any:
        """The own value in the middle of the range."""

    @property
    @abstractmethod
    def n_points(self) -> int | None:
        """How many values there are; None where they cannot be counted."""

    @abstractmethod
    def points(self) -> Iterable[Values]:
        """All values, as Optuna's, in order; only where they can be counted."""


@dataclass(frozen=True)
class Fixed(Kind):
    """One value that is not searched; a list is kept as a tuple."""

    value: Scalar | Values

    def optuna_names(self, name: str) -> tuple[str, ...]:
        return ()

    def to_json(self) -> Any:
        return list(self.value) if isinstance(self.value, tuple) else self.value

    def encode(self, value: object) -> Values:
        if not same(value, self.value):
            raise RecipeError(f"{shown(value)} is not its fixed value {shown(self.to_json())}")
        return ()

    def decode(self, values: Values) -> Any:
        return self.to_json()

    @property
    def centre(self) -> Any:
        return self.to_json()

    @property
    def n_points(self) -> int:
        return 1

    def points(self) -> Iterable[Values]:
        return [()]


@dataclass(frozen=True)
class FloatRange(Kind):
    """low to high, both included; with a step, high is the last value that is reached."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def to_json(self) -> Any:
        return _range_json("float", self)

    def encode(self, value: object) -> Values:
        checked = float(number(value))
        _check_bounds(checked, self)
        if self.step is not None:
            n_steps = (checked - self.low) / self.step
            if abs(n_steps - round(n_steps)) >= 1e-8:  # Optuna's own tolerance
                raise RecipeError(_off_the_grid(checked, self))
        return (checked,)

    def decode(self, values: Values) -> Any:
        return float(number(values[0]))

    @property
    def centre(self) -> float:
        """On a logarithmic scale the geometric mean; with a step, the last at or below."""
        if self.step is not None:
            return on_grid(self.low, self.step, n_steps(self.low, self.high, self.step) // 2)
        return _middle(self)

    @property
    def n_points(self) -> int | None:
        if self.step is None:
            return 1 if self.low == self.high else None
        return n_steps(self.low, self.high, self.step) + 1

    def points(self) -> Iterable[Values]:
        for index in range(self.n_points or 0):
            yield (on_grid(self.low, self.step or 0.0, index),)


@dataclass(frozen=True)
class IntRange(Kind):
    """Whole numbers from low to high, both included; with a step, high is the last reached."""

    low: int
    high: int
    log: bool = False
    step: int | None = None

    def to_json(self) -> Any:
        return _range_json("int", self)

    def encode(self, value: object) -> Values:
        checked = whole(value)
        _check_bounds(checked, self)
        if (checked - self.low) % (self.step or 1):
            raise RecipeError(_off_the_grid(checked, self))
        return (checked,)

    def decode(self, values: Values) -> Any:
        return whole(values[0])

    @property
    def centre(self) -> int:
        """On a logarithmic scale the geometric mean, rounded; with a step, the last at or below."""
        if self.step is not None:
            return self.low + (self.n_points - 1) // 2 * self.step
        return round(_middle(self))

    @property
    def n_points(self) -> int:
        return (self.high - self.low) // (self.step or 1) + 1

    def points(self) -> Iterable[Values]:
        return ((value,) for value in range(self.low, self.high + 1, self.step or 1))


@dataclass(frozen=True)
class Choice(Kind):
    """One of several values: `choices` of type categorical, else `values` (of a type, or none)."""

    choices: Values
    type: str | None = "categorical"

    def to_json(self) -> Any:
        key = "choices" if self.type == "categorical" else "values"
        return ({"type": self.type} if self.type else {}) | {key: list(self.choices)}

    def encode(self, value: object) -> Values:
        for choice in self.choices:
            if same(value, choice):
                return (choice,)
        raise RecipeError(f"{shown(value)} is not among its values: {listed(self.choices)}")

    def decode(self, values: Values) -> Any:
        return self.encode(values[0])[0]

    @property
    def centre(self) -> Scalar:
        """Of numbers the middle one, the lower of two; of others the first."""
        if any(isinstance(choice, str | bool | None) for choice in self.choices):
            return self.choices[0]
        return sorted(self.choices, key=number)[(len(self.choices) - 1) // 2]

    @property
    def n_points(self) -> int:
        return len(self.choices)

    def points(self) -> Iterable[Values]:
        return ((choice,) for choice in self.choices)


@dataclass(frozen=True)
class Channels(Kind):
    """One choice for each layer, never decreasing with depth; to Optuna one index a layer.

    Any indexes will do: sorted, they are a sequence that never decreases, so that no sample is
    refused and no layer's range depends on another's. `choices` are ascending.
    """

    choices: tuple[int, ...]
    layers: int

    def optuna_names(self, name: str) -> tuple[str, ...]:
        return tuple(f"{name}_{layer}" for layer in range(self.layers))

    def to_json(self) -> Any:
        return {"type": "channels", "choices": list(self.choices), "layers": self.layers}

    def encode(self, value: object) -> Values:
        if not isinstance(value, (list, tuple)):
            raise RecipeError(f"{shown(value)} is not a list of {self.layers} numbers of channels")
        if len(value) != self.layers:
            raise RecipeError(f"{shown(value)} has {len(value)} layers, not {self.layers}")
        indexes = [self._index(entry) for entry in value]
        if indexes != sorted(indexes):
            raise RecipeError(f"{shown(value)} decreases; channels never decrease with depth")
        return tuple(indexes)

    def decode(self, values: Values) -> Any:
        return [self.choices[index] for index in self._sorted(values)]

    @property
    def centre(self) -> list[int]:
        """The middle choice, the lower of two, in every layer."""
        return [self.choices[(len(self.choices) - 1) // 2]] * self.layers

    def canonical(self, values: Values) -> Values:
        return tuple(self._sorted(values))

    @property
    def n_points(self) -> int:
        return math.comb(len(self.choices) + self.layers - 1, self.layers)

    def points(self) -> Iterable[Values]:
        return itertools.combinations_with_replacement(range(len(self.choices)), self.layers)

    def _index(self, value: object) -> int:
        if whole(value) not in self.choices:
            raise RecipeError(f"{shown(value)} is not among its choices: {listed(self.choices)}")
        return self.choices.index(whole(value))

    def _sorted(self, values: Sequence[Scalar]) -> list[int]:
        indexes = sorted(whole(value) for value in values)
        if indexes[0] < 0 or indexes[-1] >= len(self.choices):
            raise RecipeError(f"{shown(values)}: an index is outside 0 to {len(self.choices) - 1}")
        return indexes


def n_steps(low: float, high: float, step: float) -> int:
    """How often `step` fits between low and high, counted in decimals as Optuna counts."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def on_grid(low: float, step: float, index: int) -> float:
    """The value `index` steps above low, without the error that adding floats would gather."""
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def _middle(bounds: FloatRange | IntRange) -> float:
    low, high = float(bounds.low), float(bounds.high)
    middle = math.sqrt(low) * math.sqrt(high) if bounds.log else low / 2 + high / 2
    return min(max(middle, low), high)  # what rounding has moved outside


def _range_json(kind: str, bounds: FloatRange | IntRange) -> dict[str, Any]:
    written: dict[str, Any] = {"type": kind, "low": bounds.low, "high": bounds.high}
    if bounds.log:
        written["log"] = True
    if bounds.step is not None:
        written["step"] = bounds.step
    return written


def _check_bounds(value: float, bounds: FloatRange | IntRange) -> None:
    if not bounds.low <= value <= bounds.high:
        raise RecipeError(f"{shown(value)} is outside {bounds.low} to {bounds.high}")


def _off_the_grid(value: float, bounds: FloatRange | IntRange) -> str:
    return f"{shown(value)} is not {bounds.low} plus a whole number of steps of {bounds.step}"
