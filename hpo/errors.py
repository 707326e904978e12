"""The errors that a user can cause or meet, as one tree; each knows the exit code of the command.

HpoError                 1  the work failed
├── InputError           2  a value, a flag or a file is wrong
│   └── DataError        2  a data file is missing, damaged or not what it should be
├── NotFoundError        3  no study (trial, file) of that name
├── ConflictError        5  the name is taken, or what is asked contradicts what is recorded
└── StoppedError   130, 143  a signal asked to stop

The two leaves below us have trees of their own with the same attribute: `storage.errors` (4,
storage unreachable or out of date) and `search_spaces.RecipeError` (2). A message is one line
that says what is wrong, where, and what to do.
"""


class HpoError(Exception):
    """The work failed."""

    exit_code = 1


class InputError(HpoError):
    """A value, a flag or a file is wrong."""

    exit_code = 2


class DataError(InputError):
    """A data file is missing, damaged or not what it should be."""


class NotFoundError(HpoError):
    """Nothing of that name is there."""

    exit_code = 3


class ConflictError(HpoError):
    """The name is taken, or what is asked contradicts what is recorded."""

    exit_code = 5


NOT_GIVEN_BACK = "stopped; some work was not given back and is taken up when its lease runs out"


class StoppedError(HpoError):
    """A signal asked the program to stop; the message says what became of the work."""

    def __init__(
        self, signal_number: int, message: str = "stopped; the work under way was given back"
    ) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
