"""The guard round the reading of one study, so that damaged records of it end nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

from hpo.errors import DamagedError
from hpo.protocol import shortened
from search_spaces import RecipeError


DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RecipeError,
    RecursionError,
    TypeError,
    ValueError,
)
"""The errors that a reader of records raises if a value is missing, or is not what hpo writes."""


@contextmanager
def damage_reported(study: str) -> Iterator[None]:
    """Turn the errors that damaged records cause in the block into one line.

    The block may only read records of the study named `study`. It may run no code of a user.

    Raises:
        DamagedError: a record of the study cannot be read, or contradicts another one.
    """
    try:
        yield
    except DAMAGE as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DamagedError(
            f"the records of study {study!r} are damaged ({reason}); see what is wrong with: "
            "hpo storage check"
        ) from error
