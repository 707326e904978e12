"""The installed `hpo` command, run as a user runs it."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


HPO = Path(sys.executable).with_name("hpo")
TIMEOUT_S = 100.0
# A developer's own settings must not reach a test; what says where the data lies may.
PASSED_ON = ("HPO_DATA_DIR",)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of hpo, with plain output of a known width."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("HPO_") or name in PASSED_ON
    }
    plain = {
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "_TYPER_FORCE_DISABLE_TERMINAL": "1",
    }
    return inherited | plain | dict(extra or {})


def run_hpo(
    *arguments: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> subprocess.CompletedProcess[str]:
    """Run `hpo` to its end; the exit code is the caller's to check.

    Args:
        arguments: what stands behind `hpo` on the command line.
        env: variables over those of `clean_environment`.
        cwd: the working folder, else this process's own.
        timeout_s: after this long the command is killed.

    Raises:
        subprocess.TimeoutExpired: it ran longer than that.
    """
    return subprocess.run(
        [HPO, *arguments],
        env=clean_environment(env),
        cwd=cwd,
        timeout=timeout_s,
        capture_output=True,
        text=True,
        check=False,
    )
