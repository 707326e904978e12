"""Small checks of what a recipe's author wrote; each raises RecipeError with what is allowed."""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from search_spaces.errors import RecipeError, at


Scalar = str | bool | int | float | None
Written = Mapping[object, object]
T = TypeVar("T")

MAX_WHOLE = 2**53  # databases keep a parameter as a double, which skips whole numbers above this
EXPONENT = re.compile(r"([-+]?\d+)(\.\d*)?[eE]([-+]?)(\d+)")


def shown(value: object) -> str:
    """A value for an error message: on one line, shortened, null and booleans as in YAML."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """Values for an error message, with commas between them."""
    return ", ".join(value if isinstance(value, str) else shown(value) for value in values)


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """One line for a name that is not among the known ones: the nearest, then all of them."""
    names = list(known)
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {what} {shown(name)}; {hint}allowed: {listed(names) or 'none'}"


def mapping(value: object) -> Written:
    """`value` if it is a map."""
    if not isinstance(value, Mapping):
        raise RecipeError(f"{shown(value)} is not a map of keys and values")
    return value


def only_keys(written: Written, allowed: Iterable[str]) -> None:
    """Refuse keys that are not in `allowed`."""
    names = tuple(allowed)
    for key in written:
        if key not in names:
            raise RecipeError(unknown("key", key, names))


def entry(written: Written, key: object, read: Callable[[object], T]) -> T:
    """What `read` makes of the value of a key that has to be there; its errors name the key."""
    if key not in written:
        raise RecipeError(f"{key} is missing")
    with at(str(key)):
        return read(written[key])


def optional(written: Written, key: object, read: Callable[[object], T]) -> T | None:
    """The same for a key that may be left out, else None."""
    return entry(written, key, read) if key in written else None


def number(value: object) -> float:
    """`value` if it is a finite number (a whole one stays an int); no boolean, no string."""
    if isinstance(value, str):
        raise RecipeError(f"{shown(value)} is a string, not a number{_number_hint(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecipeError(f"{shown(value)} is not a number")
    if not abs(value) <= sys.float_info.max:  # also where value is nan
        raise RecipeError(f"{shown(value)} is not a finite number")
    return value


def whole(value: object) -> int:
    """`value` if it is a whole number that a double holds exactly."""
    checked = number(value)
    if not isinstance(checked, int):
        raise RecipeError(f"{shown(value)} is not a whole number (written without a point)")
    if abs(checked) > MAX_WHOLE:
        raise RecipeError(f"{shown(value)} is too large; allowed: -2^53 to 2^53")
    return checked


def positive(value: object) -> int:
    """`value` if it is a whole number of at least 1."""
    checked = whole(value)
    if checked < 1:
        raise RecipeError(f"{shown(value)} is not positive; allowed: whole numbers from 1")
    return checked


def fraction(value: object) -> float:
    """`value` as a float if it lies in 0 to 1."""
    checked = float(number(value))
    if not 0.0 <= checked <= 1.0:
        raise RecipeError(f"{shown(value)} is outside 0 to 1")
    return checked


def flag(value: object) -> bool:
    """`value` if it is true or false."""
    if not isinstance(value, bool):
        raise RecipeError(f"{shown(value)} is neither true nor false")
    return value


def text(value: object) -> str:
    """`value` if it is a string that says something, on one line."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise RecipeError(f"{shown(value)} is not a line of text")
    return value


def scalar(value: object) -> Scalar:
    """`value` if it is a string, a finite number, a boolean or null.

    A number with an exponent that YAML 1.1 takes for a string (`1e-4`) is refused: it would be
    searched, silently, as a word.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and not EXPONENT.fullmatch(value):
        return value
    if isinstance(value, (str, int, float)):
        return number(value)
    raise RecipeError(f"{shown(value)} is neither a string, a number, true, false nor null")


def sequence(value: object) -> list[object]:
    """`value` if it is a list with entries that differ from each other (1, 1.0 and true do not)."""
    if not isinstance(value, (list, tuple)):
        raise RecipeError(f"{shown(value)} is not a list")
    if not value:
        raise RecipeError("the list is empty; allowed: one entry or more")
    seen: set[object] = set()
    for entry in value:
        if not isinstance(entry, Scalar):
            continue  # whoever reads the entries refuses it
        if entry in seen:
            raise RecipeError(f"{shown(entry)} stands twice in the list")
        seen.add(entry)
    return list(value)


def same(left: object, right: object) -> bool:
    """Whether two values are equal, a boolean never being a number and a tuple being a list."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _number_hint(written: str) -> str:
    """What to write in place of a number that was read as a string; empty where it is none."""
    if found := EXPONENT.fullmatch(written):
        digits, point, sign, power = found.groups()
        return (
            f" (YAML wants a point and a sign): write {digits}{point or '.0'}e{sign or '+'}{power}"
        )
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", written):
        return f": write {written} without quotes"
    return ""
