"""The exception that this package raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from hpo.errors import InputError


class RecipeError(InputError):
    """A recipe is invalid, or a configuration does not fit its search space.

    The message is one line.
    """


@contextmanager
def at(where: str) -> Iterator[None]:
    """A context that prefixes the message of a RecipeError with a file, parameter or key."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
