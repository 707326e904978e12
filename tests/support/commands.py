"""The installed `hpo` command, run as a user runs it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.sources import ROOT
from tests.support.tiny_studies import Done


HPO = Path(sys.executable).with_name("hpo")
TIMEOUT_S = 600.0
"""No test waits longer; a busy machine may take minutes for what an idle one does in one."""
# A developer's own settings must not reach a test; what says where the data lies may. The folder of
# the trust file is the tests' own.
PASSED_ON = ("HPO_DATA_DIR", "HPO_CONFIG_DIR")


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


IN_TURN = """\
import dataclasses, json, sys
from tests.support.tiny_studies import hpo
json.dump([dataclasses.asdict(hpo(command)) for command in sys.argv[1:]], sys.stdout)
"""


def without_roots_rights() -> tuple[str, ...]:
    """What begins a command that may write only what its user may; root may write anything."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root, and no setpriv of util-linux")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def run_in_turn(
    *commands: str,
    path: Path | None = None,
    cwd: Path | None = None,
    prefix: tuple[str, ...] = (),
) -> list[Done]:
    """Run `hpo` commands one after another in one new process, which imports what they share once.

    Args:
        commands: each as on a command line, without `hpo`.
        path: a folder that Python looks in for modules first.
        cwd: the working folder, else this process's own.
        prefix: the words before the command of the process.
    """
    folders = [str(each) for each in (path, ROOT) if each is not None]
    done = subprocess.run(
        [
            *prefix,
            sys.executable,
            "-P",
            "-c",
            IN_TURN,
            *commands,
        ],  # -P: as installed, not the folder's
        env=clean_environment({"PYTHONPATH": os.pathsep.join(folders)}),
        cwd=cwd,
        timeout=TIMEOUT_S,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(**each) for each in json.loads(done.stdout)]


@contextlib.contextmanager
def worker(
    *flags: str, log: Path | None = None, env: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """A worker process in a group of its own, whose stderr ends when its last child is gone.

    With `log` its stderr goes to that file, to be read while it works.
    """
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(log.open("w")) if log is not None else subprocess.PIPE
        process = subprocess.Popen(
            [HPO, "worker", *flags],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=clean_environment(env),
            text=True,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_until(holds: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    """Look again and again; half of the time at most, for the sake of those that are waited for."""
    pause = threading.Event()
    end = time.monotonic() + timeout_s
    while (start := time.monotonic()) < end:
        if holds():
            return
        pause.wait(max(0.05, time.monotonic() - start))
    pytest.fail(f"waited {timeout_s} s in vain")
