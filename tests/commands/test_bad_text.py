"""Arguments and variables that are not UTF-8 text, and passwords in the wrong place."""

import pytest

from tests.support.bad_input import CREATE, INPUT, the_error
from tests.support.tiny_studies import hpo


BYTE = "a\udcff"
"""What Python makes of the bytes `a\\xff` on a command line."""

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    "command",
    [
        f"study show {BYTE}",
        f"study delete {BYTE} --yes",
        f"study extend {BYTE} --trials 9",
        f"study copy made --to sqlite:///{BYTE}.db",
        f"study list --storage sqlite:///{BYTE}.db",
        f"worker --study {BYTE} --processes 1",
        f"worker --metrics-host {BYTE} --metrics-port 1",
        f"export made -o {BYTE}.yaml",
        f"{CREATE} --dataset {BYTE}",
        f"dashboard --host {BYTE}",
        f"{BYTE}",
    ],
)
def test_an_argument_that_is_no_text_is_refused(command: str) -> None:
    done = hpo(*command.split())
    assert done.code == INPUT
    assert r"udcff" in the_error(done.out, done.err)
    assert "is not UTF-8 text" in done.err


@pytest.mark.parametrize("name", ["HPO_STORAGE", "HPO_DATA_DIR"])
def test_a_variable_that_is_no_text_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, BYTE)
    done = hpo("study list")
    assert done.code == INPUT
    assert f"the value of {name} 'a\\udcff' is not UTF-8 text" in the_error(done.out, done.err)


@pytest.mark.parametrize(
    "command",
    [
        "study list postgresql://user:tOp-5eCrEt@host/db",
        "study show postgresql://user:tOp@5eCrEt@host/db",
        "study list --storage postgresql://user:tOp@5eCrEt@host/db",
        "study list --storage mysql://user:x@5eCrEt",
    ],
)
def test_a_password_in_the_wrong_place_is_not_repeated(command: str) -> None:
    done = hpo(*command.split())
    assert done.code != 0
    error = the_error(done.out, done.err)
    assert "5eCrEt" not in error
    assert "tOp" not in error
