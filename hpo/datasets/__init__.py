"""The data sets, by name: `load_dataset("digits").draw_train(600, seed=0)` gives `Examples`.

A package of a user's own offers one under a name in the entry-point group `hpo.datasets`, or it is
named as `package.module:attribute`. What is found there is a `DataSet` or what makes one when it is
called without arguments, a function or a class; `examples/` has both.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

from hpo.datasets import digits, disk, mnist, mnist_files
from hpo.datasets.contract import DataSet, Examples
from hpo.errors import InputError
from hpo.registry import OpenRegistry, foreign


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


def _adopt(name: str, found: Any) -> Callable[[], DataSet]:
    """What makes the data set that somebody else's package holds under that name.

    Raises:
        InputError: it is none, and nothing that could make one.
    """
    if hasattr(found, "draw_train") and not isinstance(found, type):
        return partial(_made, name, lambda: found)
    if callable(found):
        return partial(_made, name, found)
    raise InputError(
        f"data set {name}: should be a data set, or a function or class that makes one without "
        f"arguments, but its type is {type(found).__name__}"
    )


def _made(name: str, make: Callable[[], DataSet]) -> DataSet:
    with foreign(f"data set {name} cannot be made"):
        data = make()
        lacking = [member for member in MEMBERS if getattr(data, member, None) is None]
    if lacking:
        kind = type(data).__name__
        raise InputError(f"data set {name}: {kind} lacks {', '.join(lacking)}; see hpo.DataSet")
    return data


datasets: OpenRegistry[Callable[[], DataSet]] = OpenRegistry(
    "data set", group="hpo.datasets", adopt=_adopt
)
datasets.add("mnist", mnist.make)
datasets.add("digits", digits.make)
datasets.add("disk", disk.make)

fetchers: dict[str, Callable[[], Path]] = {"mnist": mnist_files.find}
"""Of those data sets of hpo's own whose files must be fetched first."""


@cache
def load_dataset(name: str) -> DataSet:
    """The data set of that name, made once a process.

    Raises:
        InputError: there is none of that name, or it will not do.
        DataError: its files are missing, damaged or cannot be downloaded.
    """
    return datasets.get(name)()


def fingerprint(name: str) -> str:
    """The fingerprint of the data set of that name.

    Raises:
        InputError, DataError: as for `load_dataset`, or it cannot tell.
    """
    data = load_dataset(name)
    with foreign(f"data set {name} has no fingerprint"):
        return data.fingerprint()


def is_here(name: str) -> bool:
    """Whether a data set's files are on this machine, so that loading it needs no network.

    One of a user's own sees to its files itself.

    Raises:
        InputError: there is no data set of that name.
    """
    datasets.get(name)
    return name != "mnist" or mnist_files.is_here()


def fetch(name: str) -> Path | None:
    """Sees that the files of a data set are on this machine; their folder, None if it needs none.

    One of a user's own sees to its files itself when it is made, which is done here.

    Raises:
        InputError: there is no data set of that name, or it will not do.
        DataError: the files are missing, damaged or cannot be downloaded.
    """
    if name in fetchers:
        return fetchers[name]()
    load_dataset(name)
    return None
