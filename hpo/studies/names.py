"""The names of studies."""

import re

from hpo.errors import InputError


def default_name(architecture: str) -> str:
    """The default name of a study: the architecture's name, with `.` for characters such as `:`.

    For example, the architecture `mynet:build` gives `mynet.build`.
    """
    return re.sub(r"[^A-Za-z0-9_-]+", ".", architecture).strip("._-")


def name_of(architecture: str, name: str | None) -> str:
    """The name of a new study: the one that the user gave, else the default name.

    Raises:
        InputError: the name is not allowed.
    """
    return checked_name(default_name(architecture) if name is None else name)


def checked_name(name: str) -> str:
    """Return `name` unchanged if file names, URLs and shells accept it as part.

    Raises:
        InputError: the name is longer than 100 characters, or has characters that are not allowed.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"name: {name!r} cannot name a study; use letters, digits, '.', '_' and '-', at most "
            "100, the first a letter or digit"
        )
    return name
