"""What a wrong recipe, or a value that does not fit one, raises."""

from collections.abc import Iterator
from contextlib import contextmanager


class RecipeError(Exception):
    """A recipe, or a configuration held against it, is wrong; the message is one line."""

    exit_code = 2


@contextmanager
def at(where: str) -> Iterator[None]:
    """Put `where` (a file, a parameter, a key) before the message of a RecipeError from inside."""
    try:
        yield
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from error
