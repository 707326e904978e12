"""Tiny studies by the real command line, run in this process: `hpo` without its start-up time."""

import io
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

import cli


RECIPE = """\
architecture: siamese
parameters:
  learning_rate: {type: float, low: 1.0e-3, high: 1.0e-2, log: true}
  channels: {type: channels, choices: [2, 4], layers: 3}
  dropout: 0.1
"""
FIXED = """\
architecture: siamese
parameters: {learning_rate: 0.01, channels: [2, 4, 4]}
"""
TINY: dict[str, Any] = {
    "dataset": "digits",
    "epochs": 2,
    "folds": 2,
    "repeats": 2,
    "train_size": 60,
    "test_size": 40,
}
"""Settings of a study that a worker completes in a moment; hold for both doors."""


@dataclass(frozen=True)
class Done:
    """A command that ran to its end."""

    code: int
    out: str
    err: str


def tiny_flags(**settings: Any) -> list[str]:
    """The flags for `TINY` and what stands over it; a None leaves a flag out."""
    flags: list[str] = []
    for name, value in (TINY | settings).items():
        if value is not None:
            flags += [f"--{name.replace('_', '-')}", str(value)]
    return flags


def write_recipe(folder: Path, text: str = RECIPE, name: str = "recipe.yaml") -> Path:
    """A recipe as a file."""
    path = folder / name
    path.write_text(text)
    return path


def hpo(*arguments: str | Path, stderr: TextIO | None = None) -> Done:
    """Run the `hpo` command in this process to its end; a single string is split as by a shell.

    With `stderr`, what it says goes to that file instead of into the result.
    """
    words = [str(each) for each in arguments]
    if len(words) == 1:
        words = shlex.split(words[0])
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["hpo", *words]
    try:
        with (
            redirect_stdout(out),
            redirect_stderr(stderr or err),
            pytest.raises(SystemExit) as left,
        ):
            cli.main()
    finally:
        sys.argv = before
    code = left.value.code
    assert code is None or isinstance(code, int)
    return Done(code or 0, out.getvalue(), err.getvalue())


def must(*arguments: str | Path) -> str:
    """Run a command that has to succeed; what it printed on stdout."""
    done = hpo(*arguments)
    assert done.code == 0, done.err
    return done.out
