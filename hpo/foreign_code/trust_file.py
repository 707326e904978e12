"""The user's trust file: the modules that the user has named for studies, by database.

The file is JSON in the user's own configuration folder, and only its owner can read it. hpo adds a
record when the user creates a study. To withdraw trust, delete a record or the whole file.
"""

import json
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hpo.errors import InputError
from hpo.io import folders


VERSION = 1
"""The version of the file's form."""

LOCK_TIMEOUT_S = 10
"""Seconds that a writer waits for another writer before it gives up."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A module that the user named for a database.

    `file` is the module's path and `sha256` the digest of its content when the user named it. Both
    are None for a module without a file. A file that has changed since then stays trusted.
    """

    module: str
    file: str | None
    sha256: str | None

    @property
    def folder(self) -> str | None:
        """The folder in which Python finds the module; None for a module without a file."""
        return None if self.file is None else folder_of(self.module, self.file)


def folder_of(module: str, file: str) -> str:
    """The folder in which Python finds the first part of a dotted module name; `file` is its file.

    For example, `/home/me/nets/small.py` is the file of the module `nets.small` in `/home/me`.
    """
    path = Path(os.path.abspath(file))  # noqa: PTH100 - `resolve` would follow a link to the file
    depth = module.count(".") + (path.stem == "__init__")
    return os.path.realpath(path.parents[depth])


def location() -> Path:
    """The path of the trust file, in `HPO_CONFIG_DIR` or the user's configuration folder."""
    import platformdirs

    folder = os.environ.get("HPO_CONFIG_DIR") or platformdirs.user_config_dir("hpo")
    return folders.found(folder).absolute() / "trust.json"


def records(database: str | None) -> list[Record]:
    """The records of one database, or of all databases if `database` is None.

    Raises:
        InputError: the file cannot be read, is damaged, or other users can change it.
    """
    of_databases = _read()
    if database is not None:
        return of_databases.get(database, [])
    return [record for records in of_databases.values() for record in records]


def add(database: str, new: Sequence[Record]) -> None:
    """Add records of a database. Writers take turns, so that no record is lost.

    Raises:
        InputError: the file cannot be read, is damaged, or other users can change it.
        OSError: the file cannot be written.
    """
    if set(new) <= set(records(database)):
        return
    from filelock import FileLock

    path = location()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S):
        of_databases = _read()
        replaced = {(record.module, record.file) for record in new}
        kept = [
            record
            for record in of_databases.get(database, [])
            if (record.module, record.file) not in replaced
        ]
        _write(of_databases | {database: [*kept, *new]})


def _read() -> dict[str, list[Record]]:
    path = location()
    try:
        status = path.stat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b""
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot read the trust file {path}: {error}; make it readable, or set HPO_CONFIG_DIR "
            "to a folder of yours"
        ) from error
    if status.st_mode & 0o022 or status.st_uid not in (os.geteuid(), 0):
        raise InputError(
            f"other users can change the trust file {path}; check its content, then make it yours "
            "alone: chmod 600"
        )
    try:
        return _parsed(content)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise InputError(
            f"the trust file {path} is damaged; correct it, or delete it and name your modules "
            "again: hpo study create --if-not-exists"
        ) from error


def _parsed(content: bytes) -> dict[str, list[Record]]:
    """The records in the file's content; malformed content raises one of several exceptions."""
    found = json.loads(content)
    if found["version"] != VERSION:
        raise ValueError("the version is unknown")
    return {
        database: [_record(entry) for entry in entries]
        for database, entries in found["databases"].items()
    }


def _record(entry: dict[str, Any]) -> Record:
    record = Record(**entry)
    texts = [text for text in (record.file, record.sha256) if text is not None]
    if not all(isinstance(text, str) for text in (record.module, *texts)):
        raise TypeError("module, file and sha256 should be texts")
    if record.file is not None and not Path(record.file).is_absolute():
        raise ValueError("a relative path would mean a file of any working folder")
    _ = record.folder  # raises an IndexError for a file that cannot be the module's
    return record


def _write(of_databases: dict[str, list[Record]]) -> None:
    path = Path(os.path.realpath(location()))  # a link to the file stays a link
    databases = {
        name: [asdict(record) for record in records] for name, records in of_databases.items()
    }
    text = json.dumps({"version": VERSION, "databases": databases}, indent=2) + "\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".trust.")  # of mode 600
    try:
        os.close(handle)
        Path(temporary).write_text(text, encoding="utf-8")
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
