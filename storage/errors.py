"""The errors of the database, as one tree; each has the exit code of the command.

StorageError               4  the database cannot be used
├── StorageURLError        2  the storage URL is wrong
├── UnreachableError       4  the database does not answer
├── ReadOnlyError          4  the database can be read, but not written
├── OutdatedError          4  the tables are older or newer than this program
├── EmptyStorageError      3  the database has no tables of hpo yet
├── StudyMissingError      3  no study has that name, or a worker's study was deleted
├── StudyExistsError       5  the name of a new study is taken
├── StudyBusyError         5  workers work on a study that is to be copied or renamed
├── OrphanError            5  the name of a new study has records whose study in Optuna is gone
├── CopyError              1  a copy differs from its source, or the source is damaged
└── LeaseLostError         1  another worker has the work now

A message never contains a password. Like every error that hpo reports, each is an `HpoError`.
"""

from hpo.errors import HpoError


class StorageError(HpoError):
    """The database cannot be used."""

    exit_code = 4


class StorageURLError(StorageError):
    """The storage URL cannot be read, or hpo does not know this kind of database."""

    exit_code = 2


class UnreachableError(StorageError):
    """The database does not answer."""


class ReadOnlyError(StorageError):
    """The database can be read, but not written."""


class OutdatedError(StorageError):
    """The database's tables are older or newer than this program."""


class EmptyStorageError(StorageError):
    """The database has no tables of hpo yet."""

    exit_code = 3


class StudyMissingError(StorageError):
    """No study has that name, or the study of a worker was deleted."""

    exit_code = 3


class StudyExistsError(StorageError):
    """The name of a new study is taken."""

    exit_code = 5


class StudyBusyError(StorageError):
    """Workers work on a study that is to be copied or renamed."""

    exit_code = 5


class OrphanError(StorageError):
    """A name has records of hpo whose study in Optuna's tables is gone or has another name."""

    exit_code = 5


class CopyError(StorageError):
    """The copy of a study differs from its source or its digests; nothing of it was kept."""

    exit_code = 1


class LeaseLostError(StorageError):
    """Another worker has the work now; the result of this worker is not recorded."""

    exit_code = 1
