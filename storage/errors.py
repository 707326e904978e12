"""What can go wrong with the database.

StorageError               4  the database cannot be used
├── StorageURLError        2  the URL names no database that we can use
├── UnreachableError       4  the database does not answer
├── OutdatedError          4  its tables are older or newer than this program
├── EmptyStorageError      3  it holds no tables of ours yet
├── StudyMissingError      3  no study of that name, or it was deleted under a worker
├── StudyExistsError       5  the name is taken
├── StudyBusyError         5  workers are at work on the study
├── CopyError              1  what was copied is not what its source holds
└── LeaseLostError         1  another worker has the work now; what we did for it is void

A message never holds a password.
"""


class StorageError(Exception):
    """The database cannot be used."""

    exit_code = 4


class StorageURLError(StorageError):
    """The URL names no database that we can use."""

    exit_code = 2


class UnreachableError(StorageError):
    """The database does not answer."""


class OutdatedError(StorageError):
    """The database's tables are older or newer than this program."""


class EmptyStorageError(StorageError):
    """The database holds no tables of ours yet."""

    exit_code = 3


class StudyMissingError(StorageError):
    """There is no study of that name, or it was deleted under a worker."""

    exit_code = 3


class StudyExistsError(StorageError):
    """The name of a new study is taken."""

    exit_code = 5


class StudyBusyError(StorageError):
    """Workers are at work on the study: it is copied while none is."""

    exit_code = 5


class CopyError(StorageError):
    """What was copied is not what its source holds; nothing of it was kept."""

    exit_code = 1


class LeaseLostError(StorageError):
    """Another worker has the work now: whatever we did for it is void."""

    exit_code = 1
