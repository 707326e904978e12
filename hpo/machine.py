"""The version of hpo, and the software versions, processor cores and torch devices of a machine."""

import json
import platform
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from hpo.errors import InputError


if TYPE_CHECKING:
    import torch

__version__ = "0.4.0"
"""The version of hpo. `pyproject.toml` takes it from here."""

DEVICES = ("auto", "cpu", "cuda")

PACKAGES = ("torch", "optuna", "numpy", "scikit-learn")
"""The packages besides hpo whose version can change a result."""


@cache
def versions() -> dict[str, str]:
    """The versions of Python, hpo and `PACKAGES`, and the processor type as `machine`."""
    packages = {"hpo": __version__} | {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages, "machine": platform.machine()}


def versions_json() -> str:
    """`versions()` as one line of JSON."""
    return json.dumps(versions())


def count_cores() -> int:
    """The number of processor cores that this process may use.

    A container or a batch system may allow fewer cores than the machine has.
    """
    from joblib import cpu_count  # comes with scikit-learn

    return int(cpu_count())


def find_device(name: str) -> "torch.device":
    """The torch device for `auto`, `cpu` or `cuda`; `auto` means a GPU if torch finds one.

    Raises:
        InputError: `name` is `cuda`, and torch finds no CUDA device.
    """
    import torch  # slow to load; the other functions do not need it

    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: no CUDA device can be used here; use cpu or auto")
    chosen = "cuda" if name == "auto" and torch.cuda.is_available() else name
    return torch.device("cpu" if chosen == "auto" else chosen)
