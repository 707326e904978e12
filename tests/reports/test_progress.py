"""What a person sees while workers work: a live table on a terminal, plain lines elsewhere."""

import os
import pty
import subprocess
from pathlib import Path

import hpo
from tests.support.commands import HPO, clean_environment
from tests.support.tiny_studies import RECIPE, TINY, write_recipe


SEARCHED_EPOCHS = f"""{RECIPE}  epochs: {{type: int, low: 15, high: 20}}
known:
- {{learning_rate: 0.01, channels: [2, 4, 4], epochs: 15}}
- {{learning_rate: 0.001, channels: [2, 4, 4], epochs: 15}}
"""


def create(folder: Path, recipe: str = RECIPE, trials: int = 4, name: str = "siamese") -> str:
    """A tiny study that takes some seconds; the URL of its database."""
    storage = f"sqlite:///{folder / 'hpo.db'}"
    epochs = None if recipe == SEARCHED_EPOCHS else 20
    settings = TINY | {"trials": trials, "epochs": epochs, "pruner": "none", "name": name}
    hpo.create_study("siamese", storage=storage, space=write_recipe(folder, recipe), **settings)
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
    """Of one study after the other; of the second only the most epochs are known before."""
    storage = create(tmp_path)
    create(tmp_path, SEARCHED_EPOCHS, trials=3, name="searched")
    terminal, other_side = pty.openpty()
    command = [str(HPO), "worker", "--storage", storage, "--processes", "1"]
    environment = clean_environment() | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=other_side, env=environment) as worker:
        os.close(other_side)
        shown = read_all(terminal)
    assert worker.returncode == 0
    for name, n, epochs in (("siamese", 4, "of 20"), ("searched", 3, "of at most 20")):
        assert name in shown
        assert f"{n} of {n} trials" in shown
        assert epochs in shown
    assert "\x1b[" in shown
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


def test_what_is_left_counts_the_missing_test_runs_and_ends_at_nothing(tmp_path: Path) -> None:
    storage = create(tmp_path, SEARCHED_EPOCHS, trials=2)  # the known ones, of 15 epochs
    assert hpo.show_study("siamese", storage).effort.left == (2 * 2 + 2) * 20
    hpo.run_worker("siamese", storage=storage, max_trials=2)
    searched = hpo.show_study("siamese", storage)
    assert (searched.state, searched.effort.left) == ("testing", 2 * 15)
    hpo.run_worker("siamese", storage=storage)
    complete = hpo.show_study("siamese", storage)
    assert (complete.state, complete.effort.left) == ("complete", 0)
    assert complete.effort.done == (2 * 2 + 2) * 15
