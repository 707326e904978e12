"""Which versions made a result: recorded with every training and every export."""

import json
import platform
from functools import cache
from importlib.metadata import version


PACKAGES = ("hpo", "torch", "optuna", "numpy", "scikit-learn")


@cache
def versions() -> dict[str, str]:
    """The versions of Python, of the packages that shape a result, and the kind of machine."""
    packages = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages, "machine": platform.machine()}


def as_json() -> str:
    """The same as one line of JSON."""
    return json.dumps(versions())
