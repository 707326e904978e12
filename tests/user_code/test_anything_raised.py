"""Whatever a user's network raises fails its trial with a reason; the worker goes on."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.own_code import POINTS, TINY, write
from tests.support.tiny_studies import hpo, must


REASONS = {
    "asyncio.CancelledError('cancelled')": "cancelled",
    "GeneratorExit()": "GeneratorExit",
    "StopIteration('none left')": "StopIteration",
    "InputError('')": "InputError",
    "DataError('no file')": "no file",
    "StoppedError(15)": "stopped",
    "UnreachableError('gone')": "gone",
    "LeaseLostError('lost')": "lost",
    "Mute()": "Mute",
    "MemoryError()": "MemoryError",
    "ExceptionGroup('both', [ValueError('a')])": "both",
    "ValueError('long ' * 1_000_000)": "long",
}
RAISING = f"""\
import asyncio
import os
from torch import nn
from hpo.errors import DataError, InputError, StoppedError
from storage.errors import LeaseLostError, UnreachableError
class Mute(BaseException):
    def __str__(self):
        raise RuntimeError("no text")
ERRORS = [{", ".join(REASONS)}]
class Raising(nn.Module):
    def __init__(self, error=0):
        super().__init__()
        self.error, self.line = error, nn.Linear(3, 2)
    def forward(self, points):
        if self.error < len(ERRORS) and "HARM" in os.environ:
            raise ERRORS[self.error]
        return self.line(points)
def exit_while_built(width=4):
    if "HARM" in os.environ:
        raise SystemExit
    return Raising()
"""
N = len(REASONS)
FILES = {
    "raising_nets.py": RAISING,
    "raising_points.py": POINTS,
    "space.yaml": f"""\
architecture: raising_nets:Raising
parameters: {{error: {{type: int, low: 0, high: {N}}}}}
known: [{", ".join(f"{{error: {n}}}" for n in range(N + 1))}]
""",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is the working folder; `sys.path` is as before after the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(write(tmp_path, FILES))
    return tmp_path


def create(architecture: str, *flags: str) -> None:
    data = ["--dataset", "raising_points:Points", "--name", "own", "--space", "space.yaml"]
    must("study", "create", "--architecture", architecture, *data, *TINY, *flags)


def trials() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(must("study", "trials", "own", "--json"))
    return found


def test_whatever_a_network_raises_is_a_reason_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    create("raising_nets:Raising", "--trials", str(N + 1), "--repeats", "1")
    monkeypatch.setenv("HARM", "")
    done = hpo("worker --study own --processes 1 --max-failures 100")
    assert done.code == 0, done.err
    *failed, good = trials()
    assert good["state"] == "complete"
    for trial, reason in zip(failed, REASONS.values(), strict=True):
        assert trial["state"] == "failed"
        assert reason in trial["failure"]
        assert len(trial["failure"]) < 21_000
    table = must("study trials own")
    assert all(reason in table for reason in REASONS.values())


@pytest.mark.parametrize("error", ["asyncio.CancelledError()", "Mute()", "InputError('')"])
def test_at_creation_it_is_one_line(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = [*REASONS].index(error) if error in REASONS else 0
    Path("space.yaml").write_text(
        f"{{architecture: 'raising_nets:Raising', parameters: {{error: {place}}}}}"
    )
    monkeypatch.setenv("HARM", "")
    flags = ["--dataset", "raising_points:Points", "--space", "space.yaml", *TINY]
    done = hpo("study", "create", "--architecture", "raising_nets:Raising", *flags)
    assert done.code == 2
    (line,) = done.err.splitlines()
    name = error.partition("(")[0].rpartition(".")[2]
    assert line.startswith("error: raising_nets:Raising cannot read its data")
    assert name in line
