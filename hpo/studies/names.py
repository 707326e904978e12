"""The names of studies."""

import re

from hpo.errors import InputError


def default_name(architecture: str) -> str:
    """A study's name where none is given: `mynet:build` gives `mynet.build`."""
    return re.sub(r"[^A-Za-z0-9_-]+", ".", architecture).strip("._-")


def checked_name(name: str) -> str:
    """The name itself, if it can be used in a file name, a URL and a shell.

    Raises:
        InputError: the name cannot be used so.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"name: {name!r} cannot name a study; use letters, digits, '.', '_' and '-', at most "
            "100, the first a letter or digit"
        )
    return name
