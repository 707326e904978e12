"""The boundary between hpo and a user's code: whatever that code raises fails its work, no more.

The work of a claim runs code of a user (network, data set, loss, error) and calls of hpo (reports,
a request to stop). Errors of hpo's own calls end the work without a result. An `InterruptionError`
carries them past the boundary. A user's code that raises errors of the same types only fails.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from hpo.errors import HpoError, InputError
from hpo.foreign_code.failures import is_interrupt, message_of, traceback_of
from hpo.training.fit import DivergedError
from hpo.training.sharing import SharedNetworkError


P = ParamSpec("P")
T = TypeVar("T")


class InterruptionError(BaseException):
    """Carries an error of one of hpo's own calls past the boundary."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def own(call: Callable[P, T], errors: tuple[type[Exception], ...] = (HpoError,)) -> Callable[P, T]:
    """The same call, made by hpo itself: its `errors` pass the boundary."""

    @functools.wraps(call)
    def calling(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except errors as error:
            raise InterruptionError(error) from error

    return calling


def failure_of(error: BaseException) -> str:
    """Why work failed, for an exception that reached the boundary; never empty.

    Raises:
        HpoError: the exception carries an error of hpo's own, or no worker can do this study.
        StorageError: the exception carries an error of the database.
        KeyboardInterrupt: the exception comes from Ctrl-C.
    """
    if isinstance(error, InterruptionError):
        raise error.error
    if isinstance(error, SharedNetworkError) or is_interrupt(error):
        raise error
    is_explained = isinstance(error, (DivergedError, InputError))
    return message_of(error) if is_explained else traceback_of(error)
