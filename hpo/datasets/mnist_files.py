"""Location of the four MNIST files: `HPO_DATA_DIR` if it is set, else the user's cache folder.

Files missing from the cache are downloaded. Each use checks every file against its known SHA-256.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import platformdirs

from hpo.datasets.download import download
from hpo.errors import DataError
from hpo.io import folders


CHECKSUMS = {
    f"{stem}-ubyte.gz": checksum
    for stem, checksum in (
        ("train-images-idx3", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
        ("train-labels-idx1", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
        ("t10k-images-idx3", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
        ("t10k-labels-idx1", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
    )
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


def find(checksums: Mapping[str, str] = CHECKSUMS) -> Path:
    """The folder of the checked files; missing files are downloaded to the cache.

    If `HPO_DATA_DIR` is set, no other folder is used and nothing is downloaded: a file missing
    there is an error. `HPO_MNIST_MIRROR`, a URL, replaces the public mirrors.

    Raises:
        DataError: a file is missing, damaged or cannot be downloaded.
    """
    if data_dir := os.environ.get("HPO_DATA_DIR"):
        return _checked_folder(folders.found(Path(data_dir).expanduser()), checksums)
    mirror = os.environ.get("HPO_MNIST_MIRROR")
    return download(_cache(), checksums, (mirror,) if mirror else MIRRORS)


def is_here() -> bool:
    """Whether `find` works without network: `HPO_DATA_DIR` is set or all files are cached."""
    has_data_dir = bool(os.environ.get("HPO_DATA_DIR"))
    return has_data_dir or all(_has(_cache(), name) for name in CHECKSUMS)


def _has(folder: Path, name: str) -> bool:
    """Whether the folder has the file; a folder that this user may not enter has none."""
    try:
        return (folder / name).is_file()
    except PermissionError:
        return False


def _cache() -> Path:
    return platformdirs.user_cache_path("hpo") / "mnist"


def _checked_folder(root: Path, checksums: Mapping[str, str]) -> Path:
    """`root` or its subfolder `mnist`, whichever holds more of the files.

    Raises:
        DataError: a file is missing from the folder, unreadable or damaged.
    """
    folders = (root, root / "mnist")
    folder = max(folders, key=lambda path: sum(_has(path, name) for name in checksums))
    missing = [name for name in checksums if not _has(folder, name)]
    if missing:
        raise DataError(
            f"{', '.join(missing)} missing in {folder} (HPO_DATA_DIR); "
            "put the MNIST files there, or unset HPO_DATA_DIR to download them"
        )
    for name in checksums:
        _check(folder / name, checksums)
    return folder


def _check(path: Path, checksums: Mapping[str, str]) -> None:
    try:
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; check the file's permissions"
        ) from error
    if checksum == checksums[path.name]:
        return
    content = next((name for name, known in checksums.items() if known == checksum), None)
    problem = (
        f"holds {content}" if content else "is damaged, incomplete or another file (wrong SHA-256)"
    )
    raise DataError(
        f"{path} {problem}; replace it by MNIST's file of that name, "
        "or unset HPO_DATA_DIR to download it"
    )
