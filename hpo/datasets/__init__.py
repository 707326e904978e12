"""The data sets, by name: `load_dataset("digits").draw_train(600, seed=0)` returns `Examples`.

A user's package can add data sets in two ways: by an entry point in the group `hpo.datasets`, or
by being named as `package.module:attribute`. The object must be a `DataSet`, or a function or
class that returns one when it is called without arguments. `examples/` shows both ways.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from hpo.datasets import digits, disk, mnist, mnist_files
from hpo.datasets.contract import DataSet, Examples
from hpo.errors import InputError
from hpo.registry import OpenRegistry, user_code


__all__ = [
    "DataSet",
    "Examples",
    "datasets",
    "fetch",
    "fetchers",
    "fingerprint",
    "is_here",
    "load_dataset",
]

MEMBERS = tuple(name for name in vars(DataSet) if not name.startswith("_"))
"""The attributes and methods that a data set must have."""


def _adopt(name: str, candidate: Any) -> Callable[[], DataSet]:
    """A factory for the data set of another package; `candidate` is the object found there.

    Raises:
        InputError: `candidate` is neither a data set nor callable.
    """
    if hasattr(candidate, "draw_train") and not isinstance(candidate, type):
        return partial(_make_checked, name, lambda: candidate)
    if callable(candidate):
        return partial(_make_checked, name, candidate)
    raise InputError(
        f"data set {name}: should be a data set, or a function or class that makes one without "
        f"arguments, but its type is {type(candidate).__name__}"
    )


def _make_checked(name: str, make: Callable[[], DataSet]) -> DataSet:
    with user_code(f"data set {name} cannot be made"):
        data = make()
        missing = [member for member in MEMBERS if getattr(data, member, None) is None]
    if missing:
        kind = type(data).__name__
        raise InputError(f"data set {name}: {kind} lacks {', '.join(missing)}; see hpo.DataSet")
    return data


datasets: OpenRegistry[Callable[[], DataSet]] = OpenRegistry(
    "data set", group="hpo.datasets", adopt=_adopt
)
datasets.add("mnist", mnist.make)
datasets.add("digits", digits.make)
datasets.add("disk", disk.make)

fetchers: dict[str, Callable[[], Path]] = {"mnist": mnist_files.find}
"""Functions that download the files of a built-in data set and return their folder, by name.

Built-in data sets that are not listed need no download.
"""


@lru_cache(maxsize=8)
def make_once(factory: Callable[[], DataSet]) -> DataSet:
    """The data set that a factory of the registry makes; kept for later calls."""
    return factory()


def load_dataset(name: str) -> DataSet:
    """The data set of that name. It is created once per process, and again after a reload.

    Raises:
        InputError: no data set has that name, or the object of that name is not a data set.
        DataError: files of the data set are missing, damaged or cannot be downloaded.
    """
    return make_once(datasets.get(name))


def fingerprint(name: str) -> str:
    """The fingerprint of the data set of that name.

    Raises:
        InputError: the data set cannot be loaded, or its `fingerprint` method fails.
        DataError: files of the data set are missing, damaged or cannot be downloaded.
    """
    data = load_dataset(name)
    with user_code(f"data set {name} has no fingerprint"):
        return data.fingerprint()


def is_here(name: str) -> bool:
    """Whether a data set's files are on this machine, so that loading it needs no network.

    Always true for a data set of a user's package, which manages its own files.

    Raises:
        InputError: no data set has that name.
    """
    datasets.get(name)
    return name != "mnist" or mnist_files.is_here()


def fetch(name: str) -> Path | None:
    """Download the files of a data set if they are missing, and return their folder.

    Returns None for a data set that is not in `fetchers`. Such a data set is loaded here, because
    a data set of a user's package manages its files when it is created.

    Raises:
        InputError: no data set has that name, or the object of that name is not a data set.
        DataError: the files are missing, damaged or cannot be downloaded.
    """
    if name in fetchers:
        return fetchers[name]()
    load_dataset(name)
    return None
