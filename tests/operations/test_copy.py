"""`hpo study copy`: what the command says and what it leaves."""

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from hpo.operations import databases
from storage import studies
from storage.engine import Database
from tests.support.storage_worker import (
    make_plan,
    must_claim,
)
from tests.support.tiny_studies import hpo, must, tiny_flags, write_recipe


CREATE = "study create --architecture siamese --name tiny --space recipe.yaml"


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        write_recipe(tmp_path)
        must(*CREATE.split(), *tiny_flags(trials=2))

    def test_a_finished_study_exports_the_same_best(self, postgresql_url: str) -> None:
        must("worker --study tiny --processes 1")
        to = postgresql_url
        copied = json.loads(must("study", "copy", "tiny", "--to", to, "--json"))
        assert (copied["name"], copied["n_started"]) == ("tiny", 2)
        assert copied["source"] == "sqlite:///hpo.db"
        there = ("--storage", to)
        assert must("export", "tiny", *there) == must("export tiny")
        for listing in (("study", "show"), ("study", "trials")):
            shown = must(*listing, "tiny", "--json")
            assert must(*listing, "tiny", "--json", *there) == shown
        must("storage", "check", *there)

    def test_a_worker_completes_an_unfinished_copy(self) -> None:
        must("worker --study tiny --processes 1 --max-trials 1")
        must("study copy tiny --to sqlite:///other.db --name twin")
        must("worker --study twin --processes 1 --storage sqlite:///other.db")
        there = json.loads(must("study show twin --json --storage sqlite:///other.db"))
        assert (there["state"], there["trials"]["target"]) == ("complete", 2)
        assert json.loads(must("study show tiny --json"))["state"] == "searching"
        must("storage check --storage sqlite:///other.db")

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ("tiny --to sqlite:///hpo.db", 5, "'tiny' exists already"),
            ("nobody --to sqlite:///other.db", 3, "'nobody'"),
            ("tiny --to oracle://user:secret@host/db", 2, "postgresql"),
            ("tiny --to sqlite:///missing/other.db", 2, "missing"),
            ("tiny --to postgresql://u:secret@127.0.0.1:1/db", 4, "127.0.0.1"),
            ("tiny --to sqlite:///other.db --name a/b", 2, "'a/b'"),
            ("tiny", 2, "--to"),
        ],
    )
    def test_what_cannot_be_copied_is_told_in_one_line(
        self, arguments: str, code: int, words: str
    ) -> None:
        done = hpo(f"study copy {arguments}")
        assert (done.code, done.out) == (code, "")
        assert words in done.err
        assert len(done.err.splitlines()) == 1
        assert "secret" not in done.err
        assert not Path("other.db").exists()

    def test_a_study_under_work_is_refused(self) -> None:
        db = Database("sqlite:///hpo.db")
        must_claim(db, studies.get(db, "tiny").study_id, make_plan(), "busy")
        db.close()
        done = hpo("study copy tiny --to sqlite:///other.db")
        assert done.code == 5
        assert "busy" in done.err
        assert not Path("other.db").exists()

    def test_a_password_is_in_no_record(self, postgresql_url: str) -> None:
        to = sa.make_url(postgresql_url).set(password="secret-word").render_as_string(False)
        done = hpo("study", "copy", "tiny", "--to", to, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["target"] != to
        assert "secret-word" not in done.out + done.err

    def test_a_long_copy_says_how_far_it_is(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(databases, "PROGRESS_S", 0.0)
        must("worker --study tiny --processes 1 --max-trials 1")
        done = hpo("study copy tiny --to sqlite:///other.db --json")
        n_rows = json.loads(done.out)["n_rows"]
        assert done.err.splitlines()[-1] == f"{n_rows} of {n_rows} rows copied"
