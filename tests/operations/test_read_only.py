"""A finished study on a read-only place can be read, and nothing there is changed."""

from pathlib import Path

import pytest

from storage.backends import sqlite
from storage.engine import Database
from tests.support.bad_input import STORAGE, the_error
from tests.support.commands import run_in_turn, without_roots_rights
from tests.support.storage_worker import make_plan, new_study, play
from tests.support.tiny_studies import FIXED, Done, must, tiny_flags, write_recipe


READING = (
    "study show tiny --json",
    "study list",
    "storage check",
    "export tiny",
    "study copy tiny --to sqlite:///copied.db",
)
WRITING = (
    "study pause tiny",
    "study rename tiny other",
    "study delete tiny --yes",
    "storage purge tiny --yes",
    "storage upgrade",
)


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A read-only folder with an odd name that holds a database with a finished study `tiny`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "50% ar#chive"
    folder.mkdir()
    storage = ("--storage", f"sqlite:///{folder / 'hpo.db'}")
    flags = [*tiny_flags(epochs=1, repeats=1), "--space", str(write_recipe(tmp_path, FIXED))]
    must("study", "create", "--architecture", "siamese", "--name", "tiny", *storage, *flags)
    must("worker", "--study", "tiny", "--processes", "1", *storage)
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    return folder


def run_there(archive: Path, *commands: str) -> list[Done]:
    """Run commands on the database with the rights of its folder; they leave it as it is."""
    before = {path.name: path.read_bytes() for path in archive.iterdir()}
    url = f"'sqlite:///{archive / 'hpo.db'}'"
    there = [f"{command} --storage {url}" for command in commands]
    done = run_in_turn(*there, prefix=without_roots_rights())
    assert {path.name: path.read_bytes() for path in archive.iterdir()} == before
    return done


def test_a_read_only_database_is_read_and_not_written(archive: Path) -> None:
    done = run_there(archive, *READING, *WRITING)
    for command, each in zip(READING, done, strict=False):
        assert each.code == 0, (command, each.err)
    for command, each in zip(WRITING, done[len(READING) :], strict=True):
        assert each.code == STORAGE, (command, each.err)
        assert "is read-only; get the right to write" in the_error(each.out, each.err)
    assert "tiny" in must("study show tiny --storage sqlite:///copied.db")
    archive.chmod(0o755)
    shown, paused = run_there(archive, "study show tiny --json", "study pause tiny")
    assert (shown.code, shown.out) == (0, done[0].out)
    assert paused.code == STORAGE


def test_a_file_that_may_not_be_read_is_refused_at_once(archive: Path) -> None:
    (archive / "hpo.db").chmod(0)
    url = f"'sqlite:///{archive / 'hpo.db'}'"
    (done,) = run_in_turn(f"worker --storage {url}", prefix=without_roots_rights())
    assert done.code == STORAGE
    assert "this user lacks the permission" in the_error(done.out, done.err)


def test_what_is_still_in_the_log_is_read_too(tmp_path: Path) -> None:
    """As of another user's database whose workers have it open."""
    path, plan = tmp_path / "hpo.db", make_plan()
    writer = Database(f"sqlite:///{path}", create=True)
    play(writer, new_study(writer, 1), plan, "worker")
    assert Path(f"{path}-wal").stat().st_size > 0
    connection = sqlite._open_read_only(path)
    assert connection.execute("SELECT count(*) FROM hpo_claims").fetchone() == (2,)
    play(writer, new_study(writer, 1), plan, "worker")
    assert connection.execute("SELECT count(*) FROM hpo_claims").fetchone() == (4,)
    connection.close()
    writer.close()
