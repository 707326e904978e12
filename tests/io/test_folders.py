"""Relative paths mean files in the folder in which hpo was called, whatever code of others does."""

import os
from pathlib import Path

import pytest

from hpo.io import folders


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside the working folder, to which a test may move."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "elsewhere"


def test_a_path_stays_as_it_is_written_while_nobody_moves() -> None:
    with folders.kept():
        assert folders.found("recipe.yaml") == Path("recipe.yaml")
    assert folders.found("recipe.yaml") == Path("recipe.yaml")


def test_a_path_is_found_from_elsewhere(elsewhere: Path) -> None:
    here = Path.cwd()
    with folders.kept():
        os.chdir(elsewhere)
        with folders.kept():  # a call within a call means the folder of the outer one
            assert folders.found("a/b") == here / "a/b"
            assert folders.found("/a/b") == Path("/a/b")
        assert folders.working() == here
    assert Path.cwd() == here


def test_a_deleted_folder_is_no_error(elsewhere: Path) -> None:
    os.chdir(elsewhere)
    elsewhere.rmdir()
    with folders.kept():
        assert folders.working() is None
        assert folders.found("a") == Path("a")
        os.chdir("/")
    assert Path.cwd() == Path("/")
