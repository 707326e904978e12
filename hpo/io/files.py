"""Output files: each is written whole or not at all, to where the user's path leads.

- A regular file is replaced by a new one, so that other programs see the old or the new content.
  A new file has the mode that the umask gives. A replaced file keeps its mode and, where this user
  may set it, its owner.
- A symbolic link stays: the file that it leads to is written.
- A device, a pipe or an open file such as `/dev/stdout` is written to. Nothing replaces it.
"""

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hpo.errors import InputError
from hpo.io import stdout


STDOUT = "/dev/stdout"

DESCRIPTOR_FOLDERS = ("/dev/fd", "/proc/self/fd")
"""Folders in which a file's name is the number of one of this process's open files."""

MAX_LINKS = 40
"""Symbolic links that are followed to an open file; Linux follows no more either."""


class Output:
    """A place that the user named for an output.

    Links and the working folder count as they are when the object is made. `path` is the path as
    the user gave it, `absolute` the same path from the root on.

    Raises:
        InputError: the output cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.absolute = _absolute(self.path)
        with self.errors_translated():
            self._descriptor = _descriptor(self.absolute)
            self._file = Path(os.path.realpath(self.absolute))
            self._check()

    def _check(self) -> None:
        if self._descriptor is not None:
            os.write(self._descriptor, b"")  # fails if the open file cannot be written
            return
        found = _stat(self._file)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise InputError(f"cannot write {self.path}: it is a folder")
        if found is not None and not os.access(self._file, os.W_OK):
            raise InputError(f"cannot write {self.path}: this user may not write it")
        if self.is_regular:
            self._check_folder()

    def _check_folder(self) -> None:
        place = self.place_beside()
        try:
            os.close(_create(place))
            place.unlink()
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: its folder is missing or cannot be written "
                f"({error.strerror})"
            ) from error

    @property
    def is_regular(self) -> bool:
        """Whether the output is a regular file or does not exist yet."""
        if self._descriptor is not None:
            return False
        found = _stat(self._file)
        return found is None or stat.S_ISREG(found.st_mode)

    @property
    def identity(self) -> object:
        """Equal for outputs that lead to one place; the null device equals no output."""
        if self._descriptor is not None:
            return _identity(os.fstat(self._descriptor))
        return identity(self._file)

    def place_beside(self) -> Path:
        """The path of a new temporary file in the folder of the output."""
        return self._file.with_name(f".hpo-{secrets.token_hex(8)}.tmp")

    def write_beside(self, place: Path, content: bytes) -> None:
        """Write the content to the new file `place`, which gets the mode of the output."""
        with os.fdopen(_create(place), "wb") as file:
            if (found := _stat(self._file)) is not None:
                _set_owner_and_mode(file.fileno(), found)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def replace_by(self, place: Path) -> None:
        """Move the new file `place` to where the output leads."""
        place.replace(self._file)

    def write_into(self, content: bytes) -> None:
        """Write the content to a device, a pipe or an open file."""
        if self._descriptor is not None:
            _write_all(self._descriptor, content)
            return
        opened = os.open(self._file, os.O_WRONLY)
        try:
            _write_all(opened, content)
        finally:
            os.close(opened)

    @contextmanager
    def errors_translated(self) -> Iterator[None]:
        """Turn an `OSError` of the block into an `InputError` that names the output."""
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}") from error


def write(contents: Sequence[tuple[Output, bytes]]) -> None:
    """Write all outputs. If one of them cannot be written, no regular file changes.

    Raises:
        InputError: an output cannot be written.
    """
    places = {output: output.place_beside() for output, _ in contents if output.is_regular}
    try:
        for output, content in sorted(contents, key=lambda item: item[0] not in places):
            with output.errors_translated():
                if output in places:
                    output.write_beside(places[output], content)
                else:  # cannot be undone, so it comes after the temporary files
                    output.write_into(content)
        for output, place in places.items():
            with output.errors_translated():
                output.replace_by(place)
    finally:
        for place in places.values():
            place.unlink(missing_ok=True)


def check_distinct(outputs: Sequence[Output]) -> None:
    """Check that the outputs lead to different places, so that none overwrites another.

    Raises:
        InputError: two outputs lead to one place.
    """
    seen: dict[object, Output] = {}
    for output in outputs:
        other = seen.setdefault(output.identity, output)
        if other is not output:
            raise InputError(
                f"{other.path} and {output.path} are one file, and two outputs would go there; "
                "name two files"
            )


def identity(file: Path) -> object:
    """Equal for two paths that lead to one file, which need not exist yet."""
    found = _stat(file)
    return os.path.realpath(file) if found is None else _identity(found)


def _identity(found: os.stat_result) -> object:
    null = _stat(Path(os.devnull))
    is_null = null is not None and stat.S_ISCHR(found.st_mode) and found.st_rdev == null.st_rdev
    return object() if is_null else (found.st_dev, found.st_ino)


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except FileNotFoundError as error:
        raise InputError(
            f"cannot write {path}: the working folder was deleted; start hpo in another folder"
        ) from error


def _stat(file: Path) -> os.stat_result | None:
    """The status of the file; None if there is no such file."""
    try:
        return file.stat()
    except FileNotFoundError:
        return None


def _descriptor(path: Path) -> int | None:
    """The number of the open file that a path such as `/dev/stdout` names; None for others."""
    folders = {os.path.realpath(folder) for folder in DESCRIPTOR_FOLDERS}
    for _ in range(MAX_LINKS):
        if path.name.isdecimal() and os.path.realpath(path.parent) in folders:
            return stdout.descriptor(int(path.name))
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _create(place: Path) -> int:
    """Create a file with the mode that the umask gives, and open it for writing."""
    return os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


def _set_owner_and_mode(handle: int, found: os.stat_result) -> None:
    for user, group in ((found.st_uid, -1), (-1, found.st_gid)):
        with suppress(PermissionError):  # only root may give a file to another user
            os.fchown(handle, user, group)
    os.fchmod(handle, stat.S_IMODE(found.st_mode))


def _write_all(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]
