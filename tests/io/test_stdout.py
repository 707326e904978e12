"""Stdout of the command holds data alone, whoever prints and however."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

import cli


PROGRAM = """\
import atexit, ctypes, os, subprocess, sys, warnings
from hpo.io import stdout
taken_before = sys.stdout
with stdout.reserved():
    print("print")
    taken_before.write("an older stream\\n")
    taken_before.flush()
    os.write(1, b"file descriptor\\n")
    subprocess.run(["echo", "child process"], check=True)
    libc = ctypes.CDLL(None)
    libc.puts(b"C code")
    libc.fflush(None)
    warnings.warn("a warning")
    stdout.write_data("data\\n")
    atexit.register(print, "the end")
    atexit.register(os.write, 1, b"the very end\\n")
"""
PRINTED = (
    *("print", "an older stream", "file descriptor", "child process", "C code", "a warning"),
    *("the end", "the very end"),
)


def run(program: str, **streams: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], text=True, check=False, **streams)


def test_all_but_data_goes_to_stderr() -> None:
    done = run(PROGRAM, capture_output=True)
    assert (done.returncode, done.stdout) == (0, "data\n")
    for line in PRINTED:
        assert line in done.stderr


def test_data_come_whole_where_stderr_is_closed() -> None:
    done = run(PROGRAM, stdout=subprocess.PIPE, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (0, "data\n")


def test_a_reader_that_left_is_told_once() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = """
from hpo.io import stdout
with stdout.reserved():
    try:
        stdout.write_data("data")
    except BrokenPipeError:
        print("told")
"""
    done = run(program, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "told\n")


def commands(group: Any) -> Iterator[Any]:
    for command in group.commands.values():
        yield from commands(command) if hasattr(command, "commands") else [command]


def test_every_command_with_data_reserves_stdout() -> None:
    found = list(commands(typer.main.get_command(cli.app)))
    assert len(found) > 10
    others = [each.name for each in found if not isinstance(each, cli.DataCommand)]
    assert others == ["worker"], "it has no data, and stderr is its log"


def test_stdout_is_an_output_as_others_are(tmp_path: Path) -> None:
    """`hpo export NAME --weights best > best` would lose one of the two."""
    with (tmp_path / "best").open("wb") as output:
        command = [sys.executable, "-m", "cli", "export", "own", "--weights", "best"]
        done = subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, cwd=tmp_path, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("error: /dev/stdout and best are one file")


def test_help_and_version_are_data(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["study", "show", "--help"]):
        subprocess.run([sys.executable, "-m", "cli", *words], check=True)
        captured = capfd.readouterr()
        assert captured.out
        assert captured.err == ""
