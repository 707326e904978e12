"""What a person sees while workers work: a live table on a terminal, plain lines elsewhere."""

import os
import pty
import subprocess
from pathlib import Path

import hpo
from tests.commands import HPO, clean_environment
from tests.tiny_studies import TINY, write_recipe


def create(folder: Path) -> str:
    """A tiny study that takes some seconds; the URL of its database."""
    storage = f"sqlite:///{folder / 'hpo.db'}"
    settings = TINY | {"trials": 4, "epochs": 20, "pruner": "none"}
    hpo.create_study("siamese", storage=storage, space=write_recipe(folder), **settings)
    return storage


def read_all(terminal: int) -> str:
    """What is written to a terminal until its other side is closed."""
    parts = []
    try:
        while part := os.read(terminal, 65536):
            parts.append(part)
    except OSError:  # Linux tells the end of a terminal so
        pass
    finally:
        os.close(terminal)
    return b"".join(parts).decode()


def test_a_terminal_shows_trials_epochs_and_the_time_left_in_place(tmp_path: Path) -> None:
    terminal, other_side = pty.openpty()
    command = [str(HPO), "worker", "--storage", create(tmp_path), "--processes", "1"]
    environment = clean_environment() | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=other_side, env=environment) as worker:
        os.close(other_side)
        shown = read_all(terminal)
    assert worker.returncode == 0
    assert "of 4 trials" in shown
    assert "of 20" in shown
    assert "\x1b[" in shown
    assert "4 of 4 trials" in shown
    assert "Traceback" not in shown


def test_a_log_gets_a_line_for_each_change_and_no_control_characters(tmp_path: Path) -> None:
    command = [str(HPO), "worker", "--storage", create(tmp_path), "--study", "siamese"]
    done = subprocess.run(
        [*command, "--processes", "2"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stderr
    assert len(lines) == len(set(lines))
    assert lines[-1].startswith("siamese complete: 4 of 4 trials · best ")
    assert lines[-1].endswith("2 of 2 test runs · complete")
    assert done.stdout == ""
