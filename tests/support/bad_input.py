"""What the tests of bad input share: a place to work in, and what a refusal has to be.

`conftest` makes the fixtures known to all modules.
"""

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from tests.support.tiny_studies import FIXED, hpo, must, tiny_flags, write_recipe


INPUT, MISSING, STORAGE, CONFLICT = 2, 3, 4, 5
CREATE = "study create --architecture siamese --dataset digits --name new --space recipe.yaml"


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database with two studies that nobody has worked on; the space of `fixed` is one point."""
    folder = tmp_path_factory.mktemp("example")
    storage = ["--storage", f"sqlite:///{folder / 'hpo.db'}"]
    create = ["study", "create", "--architecture", "siamese", *storage, *tiny_flags()]
    recipe, fixed = write_recipe(folder), write_recipe(folder, FIXED, "fixed.yaml")
    must(*create, "--name", "made", "--space", recipe, "--trials", "3")
    must(*create, "--name", "fixed", "--space", fixed)
    return (folder / "hpo.db").read_bytes()


@pytest.fixture
def workplace(tmp_path: Path, example: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder: a database, a recipe, a text file."""
    (tmp_path / "hpo.db").write_bytes(example)
    (tmp_path / "notes.txt").write_text("to do: the database is elsewhere\n" * 100)
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(folder: Path) -> dict[str, object]:
    """All that the files of a folder hold: databases as SQL, what else there is as bytes."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(path)) as connection:
                found[path.name] = list(connection.iterdump())
        elif not path.name.endswith(("-wal", "-shm", ".lock")):
            found[str(path)] = path.read_bytes() if path.is_file() else None
    return found


def the_error(out: str, err: str) -> str:
    """The one line on stderr, without its prefix."""
    assert out == ""
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1, err
    return err.removeprefix("error: ").strip()


def check_refused(command: str, code: int, says: str) -> None:
    """The command says this pattern, ends with this code and changes nothing here."""
    before = contents(Path.cwd())
    done = hpo(command)
    error = the_error(done.out, done.err)
    assert re.search(says, error), error
    assert done.code == code
    assert contents(Path.cwd()) == before
