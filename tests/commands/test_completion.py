"""What a shell completes, and `hpo --version`."""

import os
import subprocess
from pathlib import Path

import pytest

from hpo import __version__
from hpo.architectures import architectures
from hpo.commands.completion import architecture_names
from tests.support.commands import HPO, run_hpo
from tests.support.tiny_studies import RECIPE, hpo, must, tiny_flags, write_recipe


SHELLS = {
    "bash": lambda line: {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))},
    "zsh": lambda line: {"_TYPER_COMPLETE_ARGS": line},
    "fish": lambda line: {
        "_TYPER_COMPLETE_ARGS": line,
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}
"""The variables by which each shell's completion script asks the command."""


def completed(shell: str, line: str, storage: str) -> str:
    variables = SHELLS[shell](line) | {"_HPO_COMPLETE": f"complete_{shell}", "HPO_STORAGE": storage}
    done = run_hpo(env=variables)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_names_of_studies(shell: str, tmp_path: Path, sqlite_url: str) -> None:
    space = write_recipe(tmp_path, RECIPE)
    for name in ("mine", "other"):
        flags = ["--name", name, "--space", space, "--storage", sqlite_url, *tiny_flags()]
        must("study", "create", "--architecture", "siamese", *flags)
    found = completed(shell, "hpo study show mi", sqlite_url)
    assert "mine" in found
    assert "other" not in found


def test_completion_shows_no_error(tmp_path: Path) -> None:
    """A database that cannot be read has no names."""
    (tmp_path / "notes.txt").write_text("no database")
    assert completed("bash", "hpo study show ", f"sqlite:///{tmp_path / 'notes.txt'}").strip() == ""


def test_architectures_are_completed_from_the_recipes() -> None:
    """The registry itself takes seconds to load, so the recipes stand for it."""
    assert set(architecture_names("")) == set(architectures)
    assert architecture_names("fnn-ws") == ["fnn-ws", "fnn-ws-aux"]


def test_a_completion_script_is_shown() -> None:
    """The command looks for the shell that it was started from."""
    script = subprocess.check_output(
        ["bash", "-c", '"$0" --show-completion; exit $?', HPO], text=True
    )
    assert "_HPO_COMPLETE" in script


def test_the_version_is_shown() -> None:
    assert os.linesep.join([f"hpo {__version__}", ""]) == hpo("--version").out
