"""The errors that hpo reports to its user, as one class tree with the exit codes of the command.

HpoError                 1  the work failed
├── InputError           2  a value, an option or a file is wrong
│   ├── DataError        2  a data file is missing, damaged or has the wrong content
│   └── RecipeError      2  a recipe is invalid, or a configuration does not fit its search space
├── StorageError         4  the database cannot be used; `storage.errors` has more kinds
├── DamagedError         1  the records of a study are damaged
├── NotFoundError        3  no study, trial or file has that name
├── ConflictError        5  the name is taken, or the request contradicts what is recorded
└── StoppedError   130, 143  a signal asked the program to stop

Whatever hpo raises for a mistake of its user is an `HpoError`. `RecipeError` is defined in
`search_spaces` and `StorageError` in `storage`. Of `hpo` these two packages import only this
module, which imports nothing.
An error message is one line that says what is wrong, where it is wrong, and what to do.
"""


class HpoError(Exception):
    """The work failed."""

    exit_code = 1


class InputError(HpoError):
    """A value, an option or a file is wrong."""

    exit_code = 2


class DataError(InputError):
    """A data file is missing, damaged or has the wrong content."""


class DamagedError(HpoError):
    """The records of a study cannot be read or contradict each other."""


class NotFoundError(HpoError):
    """No study, trial or file has the requested name."""

    exit_code = 3


class ConflictError(HpoError):
    """The name is taken, or the request contradicts what is recorded."""

    exit_code = 5


NOT_GIVEN_BACK = "stopped; some work was not given back and is taken up when its lease runs out"
"""The message of a `StoppedError` if the database did not take back all of the stopped work."""


class StoppedError(HpoError):
    """A signal asked the program to stop.

    The message says whether the unfinished work was given back to the database.
    """

    def __init__(
        self, signal_number: int, message: str = "stopped; the work under way was given back"
    ) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number
