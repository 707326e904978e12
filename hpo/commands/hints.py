"""Hints in errors of the command line: what hpo has in place of an unknown option or command."""

import re

from hpo import words
from hpo.settings import settings
from hpo.words import hpos_word


def hint(message: str, command: str) -> str | None:
    """What to use in place of the option, command or argument that Typer's `message` refuses.

    `command` is the command that was called, such as `hpo worker`. None if no word is known.
    """
    if extra := re.fullmatch(r"Got unexpected extra argument\(s\) \((\S+)\)", message):
        flag = words.EXTRA_ARGUMENTS.get(command)
        return None if flag is None else f"write {flag} {extra[1]}"
    if not (unknown := re.match(r"No such (option|command):? '?([^\s']+)", message)):
        return None
    kind, name = unknown.groups()
    if kind == "option":
        return _option_hint(name.lstrip("-").replace("-", "_").lower())
    instead = words.COMMANDS.get(name.lower())
    return None if instead is None else f"use hpo {instead}"


def _option_hint(name: str) -> str | None:
    setting = hpos_word(name, words.SETTINGS)
    if setting is not None:
        return f"use --{settings()[setting].flag} of hpo study create"
    if name in words.ARCHITECTURE:
        return "use --architecture of hpo study create"
    option = hpos_word(name, words.WORKER_OPTIONS)
    if option is not None:
        return f"use --{option} of hpo worker"
    parameter = hpos_word(name, words.PARAMETERS)
    if parameter is not None:
        return f"write {parameter} in a recipe; name it by --space FILE of hpo study create"
    return None
