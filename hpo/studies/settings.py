"""The settings of a study."""

import re

from hpo.errors import InputError


DEFAULT_TRIALS = 50
MAX_TRIALS = 1_000_000


def default_name(architecture: str) -> str:
    """The architecture's name, or what of it can name a study: `mynet:build` gives mynet.build.

    Raises:
        InputError: that is nothing, or too much.
    """
    return checked_name(re.sub(r"[^A-Za-z0-9_-]+", ".", architecture).strip("._-"))


def checked_name(name: str) -> str:
    """A name that works in a file name, an URL and a shell.

    Raises:
        InputError: it does not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"name: {name!r} cannot name a study; use letters, digits, '.', '_' and '-', at most "
            "100, the first a letter or digit"
        )
    return name
