"""Checks of single values of a recipe file.

A check returns a valid value. For an invalid value, the check raises a RecipeError that says what
is allowed.
"""

import difflib
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TypeVar

from search_spaces.errors import RecipeError, at
from search_spaces.words import KEYS


Scalar = str | bool | int | float | None
Written = Mapping[object, object]
"""A map as the YAML or JSON reader returns it, not checked yet."""
T = TypeVar("T")

MAX_WHOLE = 2**53
"""Largest integer in a recipe; a larger one is an error.

Databases store a parameter as a double, which is exact for integers up to this size.
"""
EXPONENT = re.compile(r"([-+]?)(?=\.?\d)(\d*)(\.\d*)?[eE]([-+]?)(\d+)")
"""A number with an exponent, which YAML 1.1 reads as a string if a point, sign or digit is missing.
"""
POINT_FIRST = re.compile(r"[-+]\.\d+")
"""A number with a sign before the point, which YAML 1.1 reads as a string."""


def shown(value: object) -> str:
    """A value as an error message shows it: one line, at most 60 characters, YAML's spelling."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(values: Iterable[object]) -> str:
    """Values as an error message lists them, separated by commas."""
    return ", ".join(value if isinstance(value, str) else shown(value) for value in values)


def unknown(
    kind: str, name: object, known: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """The error message for an unknown name: the nearest known names, then all known names.

    If `synonyms` says what to write in place of the name, the message says only that.
    """
    names = list(known)
    if (instead := (synonyms or {}).get(str(name).lower())) is not None:
        return f"unknown {kind} {shown(name)}; write {instead}"
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"unknown {kind} {shown(name)}; {hint}allowed: {listed(names) or 'none'}"


def mapping(value: object) -> Written:
    """Check that `value` is a map."""
    if not isinstance(value, Mapping):
        raise RecipeError(f"{shown(value)} is not a map of keys and values")
    return value


def only_keys(written: Written, allowed: Iterable[str]) -> None:
    """Check that every key of the map is in `allowed`."""
    names = tuple(allowed)
    synonyms = {word: key for word, key in KEYS.items() if key in names}
    for key in written:
        if key not in names:
            raise RecipeError(unknown("key", key, names, synonyms))


def entry(written: Written, key: object, read: Callable[[object], T]) -> T:
    """The value of a required key, converted by `read`; error messages name the key."""
    if key not in written:
        raise RecipeError(f"{key} is missing")
    with at(str(key)):
        return read(written[key])


def optional(written: Written, key: object, read: Callable[[object], T]) -> T | None:
    """The value of an optional key, converted by `read`; None if the key is missing."""
    return entry(written, key, read) if key in written else None


def number(value: object) -> float:
    """Check that `value` is a finite number, not a boolean or string. An int stays an int."""
    if isinstance(value, str):
        raise RecipeError(f"{shown(value)} is a string, not a number{_number_hint(value)}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RecipeError(f"{shown(value)} is not a number")
    if not abs(value) <= sys.float_info.max:  # true for NaN, too
        raise RecipeError(f"{shown(value)} is not a finite number")
    return value


def whole(value: object) -> int:
    """Check that `value` is an integer from -2^53 to 2^53."""
    checked = number(value)
    if not isinstance(checked, int):
        raise RecipeError(f"{shown(value)} is not a whole number (written without a point)")
    if abs(checked) > MAX_WHOLE:
        raise RecipeError(f"{shown(value)} is too large; allowed: -2^53 to 2^53")
    return checked


def positive(value: object) -> int:
    """Check that `value` is an integer of at least 1."""
    checked = whole(value)
    if checked < 1:
        raise RecipeError(f"{shown(value)} is not positive; allowed: whole numbers from 1")
    return checked


def fraction(value: object) -> float:
    """Check that `value` is a number from 0 to 1, and return it as a float."""
    checked = float(number(value))
    if not 0.0 <= checked <= 1.0:
        raise RecipeError(f"{shown(value)} is outside 0 to 1")
    return checked


def flag(value: object) -> bool:
    """Check that `value` is true or false."""
    if not isinstance(value, bool):
        raise RecipeError(f"{shown(value)} is neither true nor false; write true or false")
    return value


def text(value: object) -> str:
    """Check that `value` is a non-empty string of one line."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise RecipeError(f"{shown(value)} is not a line of text; write a string of one line")
    return value


def scalar(value: object) -> Scalar:
    """Check that `value` is a string, a finite number, a boolean or null.

    A string such as `1e-4` is rejected. YAML 1.1 reads this notation as a string, and without the
    check it would silently be searched as a categorical value.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and not (EXPONENT.fullmatch(value) or POINT_FIRST.fullmatch(value)):
        return value
    if isinstance(value, (str, int, float)):
        return number(value)
    raise RecipeError(f"{shown(value)} is neither a string, a number, true, false nor null")


def sequence(value: object) -> list[object]:
    """Check that `value` is a non-empty list without equal entries; 1, 1.0 and true are equal."""
    if not isinstance(value, (list, tuple)):
        raise RecipeError(f"{shown(value)} is not a list")
    if not value:
        raise RecipeError("the list is empty; allowed: one entry or more")
    seen: set[object] = set()
    for entry in value:
        if not isinstance(entry, Scalar):
            continue  # the function that reads the entry rejects it
        if entry in seen:
            raise RecipeError(f"{shown(entry)} occurs twice in the list; remove one")
        seen.add(entry)
    return list(value)


def same(left: object, right: object) -> bool:
    """Whether two values are equal. A boolean never equals a number; a tuple can equal a list."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _number_hint(written: str) -> str:
    """How to write a number that was read as a string; empty if the string is no number."""
    if match := EXPONENT.fullmatch(written):
        minus, digits, point, sign, power = match.groups()
        spelled = f"{minus}{digits or 0}{point or '.0'}e{sign or '+'}{power}"
        return f" (YAML wants a point and a sign): write {spelled}"
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)", written):
        return f": write {Decimal(written):f} without quotes"  # not 08, not -.5
    return ""
