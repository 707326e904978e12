"""The kinds of parameters: fixed, float range, integer range, choice and channels.

A value has two forms. The recipe's form is what users and networks see, such as [8, 16, 32].
Optuna's form is the tuple of values that Optuna stores: empty for a fixed parameter, one value per
layer for channels, else one value. `encode` converts the recipe's form to Optuna's, `decode`
converts Optuna's form to the recipe's.
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
"""A value in Optuna's form."""


class Kind(ABC):
    """The range of one parameter; immutable. Kinds are equal if their ranges are equal."""

    def optuna_names(self, name: str) -> tuple[str, ...]:
        """The names under which Optuna stores the values of the parameter `name`."""
        return (name,)

    @abstractmethod
    def to_json(self) -> Any:
        """The parameter as a recipe writes it."""

    @abstractmethod
    def encode(self, value: object) -> Values:
        """Convert a value from the recipe's form to Optuna's.

        Raises:
            RecipeError: the value is outside the range.
        """

    @abstractmethod
    def decode(self, values: Values) -> Any:
        """Convert a value from Optuna's form to the recipe's.

        Raises:
            RecipeError: the value has the wrong type, or is not a choice of the parameter.
        """

    def canonical(self, values: Values) -> Values:
        """The Optuna form to store, if several Optuna forms decode to the same value."""
        return values

    def key(self, values: Values) -> tuple[str, ...]:
        """Equal for equal values in Optuna's form, and for floats that differ by rounding."""
        return tuple(map(repr, self.canonical(values)))

    @property
    @abstractmethod
    def centre(self) -> Any:
        """The middle of the range, in the recipe's form."""

    @property
    @abstractmethod
    def n_points(self) -> int | None:
        """The number of values; None if the range is continuous."""

    @abstractmethod
    def points(self) -> Iterable[Values]:
        """All values in order, in Optuna's form. Only for countable ranges."""


@dataclass(frozen=True)
class Fixed(Kind):
    """One value that is not searched; a list is stored as a tuple."""

    value: Scalar | Values

    def optuna_names(self, name: str) -> tuple[str, ...]:
        return ()

    def to_json(self) -> Any:
        return list(self.value) if isinstance(self.value, tuple) else self.value

    def encode(self, value: object) -> Values:
        if not same(value, self.value):
            raise RecipeError(
                f"{shown(value)} is not allowed; the parameter is fixed at {shown(self.to_json())}"
            )
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
    """Floats from low to high, both included. With a step, high is the last value on the grid."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def to_json(self) -> Any:
        return _range_json("float", self)

    def encode(self, value: object) -> Values:
        checked = float(number(value))
        _check_bounds(checked, self)
        if self.step is not None and self._nearest_step(checked) is None:
            raise RecipeError(_off_grid_message(checked, self))
        return (self.decode((checked,)),)

    def key(self, values: Values) -> tuple[str, ...]:
        value = float(number(values[0]))
        if self.step is None:
            return (f"{value:.12g}",)
        return (str(round((value - self.low) / self.step)),)

    def decode(self, values: Values) -> Any:
        """The float; with a step, without the rounding error of Optuna's 0.30000000000000004."""
        value = float(number(values[0]))
        index = self._nearest_step(value)
        return value if index is None else on_grid(self.low, self.step or 0.0, index)

    def canonical(self, values: Values) -> Values:
        return (self.decode(values),)

    def _nearest_step(self, value: float) -> int | None:
        """The number of steps from low to `value`; None without a step and between two steps."""
        if self.step is None:
            return None
        n_steps = (value - self.low) / self.step
        nearest = round(n_steps)
        return nearest if abs(n_steps - nearest) < 1e-8 else None  # Optuna's tolerance

    @property
    def centre(self) -> float:
        """The mean of low and high, or the geometric mean if log.

        With a step, the largest value on the grid that does not exceed the mean.
        """
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
    """Integers from low to high, both included. With a step, high is the last value on the grid."""

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
            raise RecipeError(_off_grid_message(checked, self))
        return (checked,)

    def decode(self, values: Values) -> Any:
        return whole(values[0])

    @property
    def centre(self) -> int:
        """The rounded mean of low and high, or the rounded geometric mean if log.

        With a step, the largest value on the grid that does not exceed the mean.
        """
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
    """One of several values.

    `type` is "categorical" for a recipe's `choices`. For a recipe's `values` it is "float", "int"
    or None, as written.
    """

    choices: Values
    type: str | None = "categorical"

    def to_json(self) -> Any:
        key = "choices" if self.type == "categorical" else "values"
        return ({"type": self.type} if self.type else {}) | {key: list(self.choices)}

    def encode(self, value: object) -> Values:
        for choice in self.choices:
            if same(value, choice):
                return (choice,)
        raise RecipeError(f"{shown(value)} is not a choice; allowed: {listed(self.choices)}")

    def decode(self, values: Values) -> Any:
        return self.encode(values[0])[0]

    @property
    def centre(self) -> Scalar:
        """The middle of the sorted choices; of two middle choices the lower.

        If a choice is not a number, the centre is the first choice.
        """
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
    """A number of channels for each layer, never decreasing with depth.

    In Optuna's form, each layer has an index of `choices`, which are in ascending order. Decoding
    sorts the indexes, so that channels never decrease. Every sample is therefore valid, and the
    range of a layer does not depend on other layers.
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
        """The middle choice, or the lower of the two middle choices, in every layer."""
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
    """The number of steps between low and high, in decimal arithmetic as in Optuna."""
    return int((Decimal(str(high)) - Decimal(str(low))) // Decimal(str(step)))


def on_grid(low: float, step: float, index: int) -> float:
    """The value `index` steps above low, in decimal arithmetic to avoid rounding errors."""
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def _middle(bounds: FloatRange | IntRange) -> float:
    low, high = float(bounds.low), float(bounds.high)
    middle = math.sqrt(low) * math.sqrt(high) if bounds.log else low / 2 + high / 2
    plain = float(f"{middle:.12g}")
    if math.isclose(plain, middle, rel_tol=1e-15):
        middle = plain  # 0.1, not 0.09999999999999999
    return min(max(middle, low), high)  # rounding can move the middle outside the range


def _range_json(kind: str, bounds: FloatRange | IntRange) -> dict[str, Any]:
    form: dict[str, Any] = {"type": kind, "low": bounds.low, "high": bounds.high}
    if bounds.log:
        form["log"] = True
    if bounds.step is not None:
        form["step"] = bounds.step
    return form


def _check_bounds(value: float, bounds: FloatRange | IntRange) -> None:
    if not bounds.low <= value <= bounds.high:
        raise RecipeError(f"{shown(value)} is outside {bounds.low} to {bounds.high}")


def _off_grid_message(value: float, bounds: FloatRange | IntRange) -> str:
    return f"{shown(value)} is not {bounds.low} plus a whole number of steps of {bounds.step}"
