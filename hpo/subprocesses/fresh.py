"""A function call in a new Python process, which has none of this process's state."""

import subprocess
import sys
from tempfile import TemporaryFile

from hpo.errors import HpoError
from hpo.foreign_code import trust


PROGRAM = """\
import importlib, sys
function, argument, decision, *sys.path = sys.argv[1:]
module, _, name = function.partition(":")
from hpo.foreign_code import trust
with trust.decided(trust.Decision.from_json(decision)):
    getattr(importlib.import_module(module), name)(argument)
"""


def call(function: str, argument: str, *, failure: str) -> None:
    """Call the function `module:name` with one argument in a new process, and wait for its end.

    The new process finds the same modules as this one, and may import the same code of others (see
    `hpo.foreign_code.trust`). Unlike a process of multiprocessing, it does
    not run the main script of this program again. What it prints is dropped.

    Raises:
        HpoError: the process died or raised an exception. The message begins with `failure` and has
            the last line of the process.
    """
    # -P: the working folder must not hide a module of the standard library.
    decision = trust.current().to_json()
    command = [sys.executable, "-P", "-c", PROGRAM, function, argument, decision, *sys.path]
    # A file and not a pipe: a process that the new one leaves behind would hold the pipe open.
    with TemporaryFile() as errors:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            check=False,
        )
        errors.seek(0)
        printed = errors.read().decode(errors="replace")
    if done.returncode:
        lines = printed.split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "it printed nothing")
        ending = f"the process ended with the exit code {done.returncode}"
        raise HpoError(f"{failure}: {ending} ({last.strip()})")
