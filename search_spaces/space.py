"""A search space: named parameters, in a recipe's own form and in Optuna's.

The own form is what a recipe's author and an architecture see: `{"channels": [8, 16, 32]}`. In
Optuna's form `channels` are one index a layer (`channels_0`, ...), and what is fixed is left out.
"""

import itertools
import keyword
import math
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from search_spaces import checks
from search_spaces.errors import RecipeError, at
from search_spaces.forms import read_kind
from search_spaces.kinds import Choice, Fixed, FloatRange, IntRange, Kind, Values


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

MAX_POINTS = 1_000_000


@dataclass(frozen=True)
class SearchSpace:
    """The parameters of one architecture's search, in the recipe's order; immutable."""

    parameters: tuple[tuple[str, Kind], ...]

    @classmethod
    def from_json(cls, written: object) -> "SearchSpace":
        """Read the map of parameters of a recipe, or what `to_json` gave.

        Raises:
            RecipeError: a name or a range is wrong; the message names the parameter.
        """
        parameters = []
        for given, form in checks.mapping(written).items():
            name = identifier(given)
            with at(name):
                parameters.append((name, read_kind(form)))
        _check_collisions(parameters)
        return cls(tuple(parameters))

    def to_json(self) -> dict[str, Any]:
        """The parameters as a recipe writes them: plain values for JSON, floats exact."""
        return {name: kind.to_json() for name, kind in self.parameters}

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters' own names, fixed ones among them."""
        return tuple(name for name, _ in self.parameters)

    @property
    def fixed(self) -> dict[str, Any]:
        """The fixed parameters and their values."""
        return {name: kind.to_json() for name, kind in self.parameters if isinstance(kind, Fixed)}

    def highest(self, name: str) -> Any:
        """The largest value that a parameter of numbers can take.

        Raises:
            RecipeError: its values are no numbers.
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
            raise RecipeError("is no number")

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Optuna's distributions, in Optuna's names."""
        from search_spaces.distributions import distributions  # loads Optuna, which is slow

        return dict(
            itertools.chain.from_iterable(
                distributions(name, kind).items() for name, kind in self.parameters
            )
        )

    def encode(self, params: Mapping[str, object]) -> dict[str, Any]:
        """A configuration in the own form (fixed values may be left out) in Optuna's names.

        Raises:
            RecipeError: a parameter is missing, unknown or outside its range.
        """
        given = {**self.fixed, **params}
        _check_names(given, self.names)
        encoded: dict[str, Any] = {}
        for name, kind in self.parameters:
            with at(f"parameter {name}"):
                encoded.update(zip(kind.optuna_names(name), kind.encode(given[name]), strict=True))
        return encoded

    def decode(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's parameters in the own form and order, with the fixed values.

        Floats and whole numbers are taken as the sampler gave them: a float may lie a rounding
        error outside its range.

        Raises:
            RecipeError: a name is missing or unknown, or a value is none of a choice.
        """
        decoded = {}
        for name, kind, values in self._grouped(optuna_params):
            with at(f"parameter {name}"):
                decoded[name] = kind.decode(values)
        return decoded

    def canonical(self, optuna_params: Mapping[str, Any]) -> dict[str, Any]:
        """Optuna's parameters in the form to be stored: the indexes of channels sorted.

        Raises:
            RecipeError: a name is missing or unknown, or an index is outside its choices.
        """
        stored: dict[str, Any] = {}
        for name, kind, values in self._grouped(optuna_params):
            with at(f"parameter {name}"):
                stored.update(zip(kind.optuna_names(name), kind.canonical(values), strict=True))
        return stored

    @property
    def centre(self) -> dict[str, Any]:
        """The configuration of all parameters' middle values, in the own form."""
        return {name: kind.centre for name, kind in self.parameters}

    @property
    def n_points(self) -> int:
        """How many configurations there are; 1 where all is fixed.

        Raises:
            RecipeError: they cannot be counted.
        """
        if self._uncountable:
            names = ", ".join(self._uncountable)
            raise RecipeError(f"not countable: {names}; give each a step or values")
        return math.prod(kind.n_points or 0 for _, kind in self.parameters)

    def points(self) -> list[dict[str, Any]]:
        """All configurations in Optuna's names, each once, the last parameter varying fastest.

        Raises:
            RecipeError: they cannot be counted, or are more than 1,000,000.
        """
        if self.n_points > MAX_POINTS:
            raise RecipeError("the grid has too many points; allowed: at most 1,000,000")
        names = [each for name, kind in self.parameters for each in kind.optuna_names(name)]
        combined = itertools.product(*(kind.points() for _, kind in self.parameters))
        return [
            dict(zip(names, itertools.chain.from_iterable(values), strict=True))
            for values in combined
        ]

    @property
    def _uncountable(self) -> list[str]:
        return [name for name, kind in self.parameters if kind.n_points is None]

    def _grouped(self, optuna_params: Mapping[str, Any]) -> Iterator[tuple[str, Kind, Values]]:
        """Each parameter with its values out of Optuna's, which have to be all and no more."""
        groups = [(name, kind, kind.optuna_names(name)) for name, kind in self.parameters]
        _check_names(optuna_params, [each for _, _, names in groups for each in names])
        for name, kind, names in groups:
            yield name, kind, tuple(optuna_params[each] for each in names)


def identifier(name: object) -> str:
    """`name` if it can be the name of a parameter, which is a keyword argument in the end."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", name):
        allowed = "letters, digits and _, no digit first, at most 100"
        raise RecipeError(f"{checks.shown(name)} is not a parameter's name; allowed: {allowed}")
    if keyword.iskeyword(name):
        raise RecipeError(f"{name}: a word of Python's own; choose another")
    return name


def _check_names(given: Mapping[str, object], names: Collection[str]) -> None:
    for name in given:
        if name not in names:
            raise RecipeError(checks.unknown("parameter", name, names))
    if missing := [name for name in names if name not in given]:
        raise RecipeError(f"missing: {', '.join(missing)}")


def _check_collisions(parameters: list[tuple[str, Kind]]) -> None:
    """Refuse names that are one to a database, some of which do not tell cases apart."""
    taken: dict[str, str] = {}
    for name, kind in parameters:
        names = (name, *kind.optuna_names(name))
        for each in names:
            if each.lower() in taken:
                raise RecipeError(f"{name}: {each} collides with parameter {taken[each.lower()]}")
        taken |= {each.lower(): name for each in names}
