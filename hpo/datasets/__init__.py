"""The data sets, by name: `load("digits").draw_train(600, seed=0)` gives `Examples`.

A package of a user's own adds to `datasets` (name to a function that makes the data set, see
`DataSet`) and, where files must be fetched first, to `fetchers`.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from hpo.datasets import digits, mnist, mnist_files
from hpo.datasets.contract import DataSet, Examples
from hpo.registry import Registry


__all__ = ["DataSet", "Examples", "datasets", "fetch", "fetchers", "is_here", "load"]

datasets: Registry[Callable[[], DataSet]] = Registry("data set")
datasets.add("mnist", mnist.make)
datasets.add("digits", digits.make)

fetchers: dict[str, Callable[[], Path]] = {"mnist": mnist_files.find}


@cache
def load(name: str) -> DataSet:
    """The data set of that name, made once a process.

    Raises:
        InputError: there is none of that name.
        DataError: its files are missing, damaged or cannot be downloaded.
    """
    return datasets.get(name)()


def is_here(name: str) -> bool:
    """Whether a data set's files are on this machine, so that loading it needs no network.

    Raises:
        InputError: there is no data set of that name.
    """
    datasets.get(name)
    return name != "mnist" or mnist_files.is_here()


def fetch(name: str) -> Path | None:
    """Sees that the files of a data set are on this machine; their folder, None if it needs none.

    Raises:
        InputError: there is no data set of that name.
        DataError: the files are missing, damaged or cannot be downloaded.
    """
    datasets.get(name)
    return fetchers[name]() if name in fetchers else None
