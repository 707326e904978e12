"""A search space: the named parameters of an architecture and their ranges.

A configuration has two forms. The recipe's form is what users and networks see, such as
`{"channels": [8, 16, 32]}`. In Optuna's form, channels are one index per layer (`channels_0`, ...),
and fixed parameters are left out.
"""

import itertools
import keyword
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from search_spaces import checks
from search_spaces.errors import RecipeError, at
from search_spaces.forms import read_kind
from search_spaces.kinds import Choice, Fixed, FloatRange, IntRange, Kind, Values


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Key: TypeAlias = tuple[tuple[str, ...], ...]
"""What identifies a configuration: equal for equal configurations of one search space."""

MAX_POINTS = 1_000_000
"""Largest number of configurations of a grid; a larger grid is an error."""


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of a search, by name, in the recipe's order; immutable."""

    parameters: tuple[tuple[str, Kind], ...]

    @classmethod
    def from_json(cls, written: object) -> "SearchSpace":
        """Read the map of parameters of a recipe, or a result of `to_json`.

        Raises:
            RecipeError: a name or a range is invalid; the message names the parameter.
        """
        parameters = []
        for key, form in checks.mapping(written).items():
            name = identifier(key)
            with at(name):
                parameters.append((name, read_kind(form)))
        _check_collisions(parameters)
        return cls(tuple(parameters))

    def to_json(self) -> dict[str, Any]:
        """The parameters as a recipe writes them, in JSON's types, with exact floats."""
        return {name: kind.to_json() for name, kind in self.parameters}

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all parameters in the recipe's form, including fixed parameters."""
        return tuple(name for name, _ in self.parameters)

    @property
    def fixed(self) -> dict[str, Any]:
        """The values of the fixed parameters, by name."""
        return {name: kind.to_json() for name, kind in self.parameters if isinstance(kind, Fixed)}

    def highest(self, name: str) -> Any:
        """The largest value of a numeric parameter.

        Raises:
            RecipeError: the parameter is not numeric.
        """
        kind = dict(self.parameters)[name]
        with at(f"parameter {name}"):
            match kind:
                case Fixed(value):
                    return checks.number(value)
                case FloatRange() | IntRange():
                    return kind.high
                case Choice(choices):
                    return max(checks.number(choice) for choice in choices)
            raise RecipeError("is not a number")

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Optuna's distributions by the names that Optuna stores; fixed parameters have none."""
        from search_spaces.distributions import distributions  # imports Optuna, which is slow

        return dict(
            itertools.chain.from_iterable(
                distributions(name, kind).items() for name, kind in self.parameters
            )
        )

    def encode(self, params: Mapping[str, object]) -> dict[str, Any]:
        """Convert a configuration from the recipe's form to Optuna's.

        Fixed parameters may be left out.

        Raises:
            RecipeError: a parameter is missing, unknown or outside its range.
        """
        complete = {**self.fixed, **params}
        _check_names(complete, self.names)
        encoded: dict[str, Any] = {}
        for name, kind in self.parameters:
            with at(f"parameter {name}"):
                values = kind.encode(complete[name])
                encoded.update(zip(kind.optuna_names(name), values, strict=True))
        return encoded

    def decode(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """Convert a configuration from Optuna's form to the recipe's, with fixed parameters.

        The ranges of floats and integers are not checked, because a sampler's float may lie a
        rounding error outside its range.

        Raises:
            RecipeError: a parameter is missing or unknown, or a value has the wrong type or is not
                among the choices.
        """
        decoded = {}
        for name, kind, values in self._grouped(optuna_params):
            with at(f"parameter {name}"):
                decoded[name] = kind.decode(values)
        return decoded

    def canonical(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """The Optuna form to store: indexes of channels sorted, no rounding errors on a grid.

        Raises:
            RecipeError: a parameter is missing or unknown, or an index is outside the choices.
        """
        stored: dict[str, Any] = {}
        for name, kind, values in self._grouped(optuna_params):
            with at(f"parameter {name}"):
                stored.update(zip(kind.optuna_names(name), kind.canonical(values), strict=True))
        return stored

    def key(self, optuna_params: Mapping[str, Any]) -> Key:
        """What identifies a configuration in Optuna's form.

        Floats that differ by a rounding error are equal.

        Raises:
            RecipeError: a parameter is missing or unknown, or a value has the wrong type.
        """
        return tuple(kind.key(values) for _, kind, values in self._grouped(optuna_params))

    def key_of(self, params: Mapping[str, object]) -> Key:
        """What identifies a configuration in the recipe's form.

        Raises:
            RecipeError: a parameter is missing, unknown or outside its range.
        """
        return self.key(self.encode(params))

    @property
    def is_countable(self) -> bool:
        """Whether the number of configurations is finite."""
        return not self._uncountable

    @property
    def centre(self) -> dict[str, Any]:
        """The configuration in which every parameter has the middle of its range.

        It is in the recipe's form.
        """
        return {name: kind.centre for name, kind in self.parameters}

    @property
    def n_points(self) -> int:
        """The number of configurations; 1 if all parameters are fixed.

        Raises:
            RecipeError: a range is continuous.
        """
        if self._uncountable:
            names = ", ".join(self._uncountable)
            raise RecipeError(f"not countable: {names}; give each a step or values")
        return math.prod(kind.n_points or 0 for _, kind in self.parameters)

    def points(self) -> list[dict[str, Any]]:
        """All configurations in Optuna's form. The last parameter varies fastest.

        Raises:
            RecipeError: a range is continuous, or there are more than 1,000,000 configurations.
        """
        if self.n_points > MAX_POINTS:
            raise RecipeError("the grid has too many points; allowed: at most 1,000,000")
        optuna_names = list(
            itertools.chain.from_iterable(kind.optuna_names(name) for name, kind in self.parameters)
        )
        combinations = itertools.product(*(kind.points() for _, kind in self.parameters))
        return [
            dict(zip(optuna_names, itertools.chain.from_iterable(values), strict=True))
            for values in combinations
        ]

    @property
    def _uncountable(self) -> list[str]:
        return [name for name, kind in self.parameters if kind.n_points is None]

    def _grouped(self, optuna_params: Mapping[str, Any]) -> Iterator[tuple[str, Kind, Values]]:
        """Yield each parameter with its values in Optuna's form.

        Raises:
            RecipeError: a parameter is missing or unknown.
        """
        groups = [(name, kind, kind.optuna_names(name)) for name, kind in self.parameters]
        _check_names(optuna_params, [key for _, _, keys in groups for key in keys])
        for name, kind, keys in groups:
            yield name, kind, tuple(optuna_params[key] for key in keys)


def identifier(name: object) -> str:
    """Check that `name` can be a parameter's name, which becomes a keyword argument.

    Raises:
        RecipeError: `name` is not an identifier of at most 100 characters, or is a Python keyword.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        allowed = "letters, digits and _, no digit first, at most 100"
        raise RecipeError(f"{checks.shown(name)} is not a parameter's name; allowed: {allowed}")
    if keyword.iskeyword(name):
        raise RecipeError(f"{name} is a keyword of Python; choose another name")
    return name


def _check_names(params: Mapping[str, object], names: Collection[str]) -> None:
    expected = set(names)
    for name in params:
        if name not in expected:
            raise RecipeError(checks.unknown("parameter", name, names))
    if missing := [name for name in names if name not in params]:
        raise RecipeError(f"missing: {', '.join(missing)}")


def _check_collisions(parameters: list[tuple[str, Kind]]) -> None:
    """Check that no two names are equal without case, because some databases ignore case."""
    owners: dict[str, str] = {}
    for name, kind in parameters:
        stored_names = (name, *kind.optuna_names(name))
        for stored in stored_names:
            if owner := owners.get(stored.lower()):
                raise RecipeError(f"{name}: {stored} collides with parameter {owner}")
        owners |= {stored.lower(): name for stored in stored_names}
