"""What a person sees while workers work: a live table on a terminal, plain lines elsewhere."""

import contextlib
import os
import pty
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import hpo
from hpo.reports import study_progress
from tests.support.tiny_studies import RECIPE, TINY, write_recipe
from tests.support.tiny_studies import hpo as hpo_command


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
    with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def test_a_terminal_shows_progress_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one study after the other; of the second only the most epochs are known before."""
    storage = create(tmp_path, trials=2)
    create(tmp_path, SEARCHED_EPOCHS, trials=3, name="searched")
    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "_TYPER_FORCE_DISABLE_TERMINAL"):
        monkeypatch.delenv(name, raising=False)
    terminal, other_side = pty.openpty()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_all, terminal)
        with os.fdopen(other_side, "w") as stderr:
            done = hpo_command(f"worker --storage {storage} --processes 1", stderr=stderr)
        shown = reading.result()
    assert done.code == 0
    for name, n, epochs in (("siamese", 2, "of 20"), ("searched", 3, "of at most 20")):
        assert name in shown
        assert f"{n} of {n} trials" in shown
        assert epochs in shown
    assert "\x1b[" in shown
    assert "Traceback" not in shown


def test_a_log_gets_one_plain_line_for_each_change(tmp_path: Path) -> None:
    done = hpo_command(f"worker --storage {create(tmp_path)} --study siamese --processes 1")
    lines = done.err.splitlines()
    assert done.code == 0, done.err
    assert "\x1b" not in done.err
    assert len(lines) == len(set(lines))
    assert lines[-2].startswith("siamese complete: 4 of 4 trials · best ")
    assert lines[-2].endswith("2 of 2 test runs · complete")
    assert done.out == ""
    best = hpo.show_study("siamese", f"sqlite:///{tmp_path / 'hpo.db'}").best
    assert best is not None
    assert best.test_error is not None
    error = f"{100 * best.test_error.mean:.2f} ± {100 * (best.test_error.std or 0):.2f} %"
    commands = "next: hpo study show siamese, or hpo export siamese -o best.yaml"
    assert lines[-1] == f"siamese: test error {error} (n = 2); {commands}"


def test_a_worker_of_any_study_says_what_it_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also of work that is done before the display looks a second time."""
    monkeypatch.setattr(study_progress, "PLAIN_REFRESH_S", 60.0)
    storage = f"sqlite:///{tmp_path / 'hpo.db'}"
    for name in ("done", "quick"):
        settings = TINY | {"epochs": 1, "trials": 1, "name": name}
        space = write_recipe(tmp_path, RECIPE)
        hpo.create_study("siamese", storage=storage, space=space, **settings)
        hpo.run_worker(storage=storage, progress=True)
        assert f"{name}: test error " in capfd.readouterr().err
    hpo.run_worker(storage=storage, progress=True)
    assert capfd.readouterr().err == "no study had work for this worker; see: hpo study list\n"


def test_the_work_left_counts_test_runs_and_ends_at_zero(tmp_path: Path) -> None:
    storage = create(tmp_path, SEARCHED_EPOCHS, trials=2)  # the known ones, of 15 epochs
    assert hpo.show_study("siamese", storage).effort.left == (2 * 2 + 2) * 20
    hpo.run_worker("siamese", storage=storage, max_trials=2)
    searched = hpo.show_study("siamese", storage)
    assert (searched.state, searched.effort.left) == ("testing", 2 * 15)
    hpo.run_worker("siamese", storage=storage)
    complete = hpo.show_study("siamese", storage)
    assert (complete.state, complete.effort.left) == ("complete", 0)
    assert complete.effort.done == (2 * 2 + 2) * 15
