"""A study whose row was edited, or made by a newer hpo, is named in one line and left alone."""

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpo.errors import DataError
from hpo.workers.command import run_worker
from tests.support.bad_input import check_refused
from tests.support.tiny_studies import hpo, must


pytestmark = pytest.mark.usefixtures("workplace")

UNREADABLE = (
    r"^the stored protocol of study 'made' cannot be read \(.*{}.*\); it was made by a newer"
)


def edited(**changes: Any) -> Callable[[str], str]:
    return lambda stored: json.dumps(json.loads(stored) | changes)


EDITED: dict[str, tuple[Callable[[str], str], str]] = {
    "empty": (lambda stored: "", ""),
    "cut": (lambda stored: stored[:100], ""),
    "a list": (lambda stored: "[]", ""),
    "null": (lambda stored: "null", ""),
    "text": (lambda stored: "siamese", ""),
    "nothing in it": (lambda stored: "{}", "architecture: "),
    "too deep": (lambda stored: '{"space":' + "[" * 100_000, ""),
    "a number without end": (lambda stored: stored.replace('"seed":0', '"seed":' + "9" * 5000), ""),
    "a newer version": (edited(version=99), "version: "),
    "an unknown setting": (edited(colour="red"), "colour: "),
    "an unknown setting that a terminal would obey": (edited(**{"\x1b[2J": 1}), "x1b"),
    "no folds": (edited(folds=0), "folds: "),
    "half an epoch": (edited(epochs=2.5), "epochs: "),
    "no batch": (edited(batch_size="large"), "batch_size: "),
    "a seed below 0": (edited(seed=-1), "seed: "),
    "a lease without end": (lambda stored: stored.replace("60.0", "NaN"), "lease_s: "),
    "a name on two lines": (edited(architecture="siamese\nrm"), "architecture: "),
    "a name without end": (edited(architecture="x" * 100_000), "architecture: "),
    "a space that is a list": (edited(space=[]), "space: "),
    "half a range": (edited(space={"dropout": {"type": "float"}}), "dropout: low is missing"),
    "a parameter of no name": (edited(space={"class": 1}), "class is a keyword of Python"),
    "folds without end": (edited(folds=1_000_000_000), "folds: "),
    "a batch without end": (edited(batch_size=10**30), "batch_size: "),
    "examples without end": (edited(train_size=10**300), "train_size: "),
    "a space without end": (edited(space={f"p{i}": 1 for i in range(9000)}), "more than 10000 val"),
    "choices without end": (
        edited(space={"a": {"type": "categorical", "choices": list(range(20_000))}}),
        "more than 10000 values",
    ),
    "known ones without end": (edited(known=[{}] * 100_000), "known configurations are too many"),
    "a text without end": (lambda stored: stored + " " * 10_000_000, "longer than 10,000,000 char"),
    "a configuration of another space": (edited(known=[{"hue": 1}]), "unknown parameter 'hue'"),
}
COMMANDS = [
    "study show made",
    "study trials made",
    "study extend made --trials 9",
    "export made",
    "worker --study made --processes 1",
]


def store(change: Callable[[str], str]) -> None:
    with contextlib.closing(sqlite3.connect("hpo.db")) as connection:
        row = "SELECT protocol FROM hpo_studies WHERE name = 'made'"
        (stored,) = connection.execute(row).fetchone()
        changed = "UPDATE hpo_studies SET protocol = ? WHERE name = 'made'"
        connection.execute(changed, (change(stored),))
        connection.commit()


@pytest.mark.parametrize(("change", "says"), EDITED.values(), ids=list(EDITED))
def test_what_is_wrong_is_named(change: Callable[[str], str], says: str) -> None:
    store(change)
    check_refused("study show made", 1, UNREADABLE.format(says))


def test_a_fingerprint_that_a_terminal_would_obey_is_shown() -> None:
    store(edited(fingerprint="\x1b[31m\nx"))
    with pytest.raises(DataError, match=r"instead of \\x1b\[31m\\nx\)"):
        run_worker("made", storage="sqlite:///hpo.db")


def test_other_studies_can_still_be_used() -> None:
    store(edited(version=99))
    must("study show fixed")
    must("study delete made --yes")
    must("study list")


def test_the_list_shows_the_others() -> None:
    store(edited(version=99))
    done = hpo("study list --json")
    assert [each["name"] for each in json.loads(done.out)] == ["fixed"]
    assert done.err.startswith("warning: study made is left out: the stored protocol of study")
    assert done.err.count("\n") == 1


def test_a_worker_of_any_study_does_the_others() -> None:
    store(edited(version=99))
    done = hpo("worker --processes 1")
    assert done.code == 0
    assert done.err.count("warning: study made is left out here: the stored protocol of") == 1
    assert json.loads(must("study show fixed --json"))["state"] == "complete"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_it(command: str) -> None:
    store(edited(version=99))
    check_refused(command, 1, UNREADABLE.format("version: "))


def test_doctor_finds_it() -> None:
    store(edited(version=99))
    done = hpo("doctor")
    assert (done.code, done.err) == (1, "")
    assert "study 'made' cannot be read" in " ".join(done.out.split())
    assert Path("hpo.db").exists()
