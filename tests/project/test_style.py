"""The house style, checked by the tools that hold it."""

import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
CODE = [
    name
    for name in ("cli.py", "hpo", "search_spaces", "storage", "tests", "benchmarks", "examples")
    if (ROOT / name).exists()
]


def check(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command, *CODE],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_has_no_complaint() -> None:
    check("ruff", "check", "--no-fix")


def test_every_file_is_formatted() -> None:
    check("ruff", "format", "--check")


@pytest.mark.slow
@pytest.mark.timeout(400)  # without its cache, mypy reads all of torch's types first
def test_types_hold() -> None:
    check("mypy", "--strict")
