"""The new process that loads an export: what it leaves behind keeps nobody waiting."""

import time
from pathlib import Path

import pytest

from hpo.errors import HpoError
from hpo.subprocesses import fresh
from tests.support.own_code import write


MODULE = """\
import subprocess, sys
def leave(seconds):
    subprocess.Popen(["sleep", seconds])
    print("begun", file=sys.stderr)
def fail(seconds):
    leave(seconds)
    raise ValueError("no such thing")
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write(tmp_path, {"leaving.py": MODULE}))


def test_a_process_left_behind_keeps_nobody_waiting() -> None:
    begun = time.monotonic()
    fresh.call("leaving:leave", "40", failure="it failed")
    with pytest.raises(HpoError, match=r"^it failed: .* \(ValueError: no such thing\)$"):
        fresh.call("leaving:fail", "40", failure="it failed")
    assert time.monotonic() - begun < 30
