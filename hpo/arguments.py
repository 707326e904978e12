"""A check of the arguments of the functions that hpo offers to programs."""

import functools
import inspect
import reprlib
from collections.abc import Callable
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from hpo.errors import InputError


F = TypeVar("F", bound=Callable[..., Any])


def checked(function: F) -> F:
    """Check the types of a function's arguments at each call, as its annotations say.

    A program gets one error of hpo for a mistake, instead of whatever breaks later. Settings that
    the function collects as `**settings` are checked by the function itself.

    Raises:
        InputError: an argument has the wrong type; the message names the argument.
        TypeError: the function has no such argument, as in all of Python.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        hints = get_type_hints(function)
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            is_named = signature.parameters[name].kind is not inspect.Parameter.VAR_KEYWORD
            if is_named and not _fits(value, hints[name]):
                wanted = inspect.formatannotation(hints[name])
                raise InputError(f"{name}: should be {wanted}, but it is {reprlib.repr(value)}")
        return function(*args, **kwargs)

    return checking  # type: ignore[return-value]


def _fits(value: object, hint: Any) -> bool:
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if float in kinds:
        kinds = (*kinds, int)
    return any(isinstance(value, get_origin(kind) or kind) for kind in kinds)
