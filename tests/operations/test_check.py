"""`hpo storage check` and `hpo doctor`: what they find in a database."""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from hpo.operations import databases
from storage.engine import Database
from tests.support.storage_worker import (
    make_plan,
    new_study,
    play,
)
from tests.support.table_rows import OURS, execute, rows, set_version
from tests.support.tiny_studies import Done, hpo, must, tiny_flags, write_recipe


PLAN = make_plan()
CREATE = "study create --architecture siamese --name tiny --space recipe.yaml"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a recipe in it."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)
    return tmp_path


def create(*flags: str, **settings: Any) -> None:
    must(*CREATE.split(), *tiny_flags(**settings), *flags)


def checked(*flags: str) -> tuple[Done, dict[str, dict[str, str]]]:
    """The check, and its findings by what was looked at."""
    done = hpo("storage", "check", "--json", *flags)
    return done, {each["what"]: each for each in json.loads(done.out)}


@pytest.mark.usefixtures("folder")
class TestCheck:
    def test_a_sound_database_is_good_and_left_as_it_is(self, database_url: str) -> None:
        storage = ("--storage", database_url)
        create(*storage, trials=2)
        must("worker", "--study", "tiny", "--processes", "1", "--max-trials", "1", *storage)
        before = rows(database_url)
        done, findings = checked(*storage)
        assert (done.code, done.err) == (0, "")
        assert {each["verdict"] for each in findings.values()} == {"good"}
        assert findings["study tiny"]["words"] == "consistent, 1 of 2 trials started"
        assert findings["studies"]["words"] == "1"
        names = {"sqlite": "SQLite 3", "postgresql": "PostgreSQL 1", "mysql": ""}
        kind = sa.make_url(database_url).get_backend_name()
        assert names[kind] in findings["database"]["words"]
        assert "0003" in findings["tables of hpo"]["words"]
        assert "v3.2.0.a" in findings["tables of Optuna"]["words"]
        assert ("integrity" in findings) == (kind == "sqlite")
        assert "consistent" in must("storage", "check", *storage)
        assert rows(database_url) == before

    def test_a_study_whose_tables_differ_is_bad(self) -> None:
        create(trials=5)
        must("worker --study tiny --processes 1 --max-trials 4")
        execute("sqlite:///hpo.db", "UPDATE trials SET state = 'FAIL'")
        done, findings = checked()
        assert done.code == 1
        assert findings["study tiny"]["verdict"] == "bad"
        words = findings["study tiny"]["words"]
        assert words.count("FAIL in Optuna's") == databases.MAX_LISTED
        assert "; and 1 more; " in words
        assert "restore a backup, or run hpo study delete tiny --yes" in words

    def test_a_protocol_that_cannot_be_read_is_bad(self) -> None:
        create()
        execute("sqlite:///hpo.db", "UPDATE hpo_studies SET protocol = '{}'")
        done, findings = checked()
        assert done.code == 1
        assert findings["study tiny"]["verdict"] == "bad"

    def test_a_database_that_cannot_be_written_is_bad(self, postgresql_url: str) -> None:
        create("--storage", postgresql_url)
        name = sa.make_url(postgresql_url).database
        execute(postgresql_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        done, findings = checked("--storage", postgresql_url)
        assert done.code == 1
        assert findings["writing"]["verdict"] == "bad"
        assert "read-only" in findings["writing"]["words"]
        assert findings["study tiny"]["verdict"] == "good"
        doctor = {each["what"]: each for each in self.doctor("--storage", postgresql_url)}
        assert doctor["writing"]["verdict"] == "bad"

    def doctor(self, *flags: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(hpo("doctor", "--json", *flags).out)
        return found

    def test_a_damaged_file_is_bad(self, folder: Path) -> None:
        db = Database("sqlite:///hpo.db", create=True)
        play(db, new_study(db, 30), PLAN, "worker")
        with db.engine.connect() as connection:  # all of it goes into the one file
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            page = "SELECT rootpage FROM sqlite_master WHERE name = 'ix_hpo_claims_state'"
            number = connection.exec_driver_sql(page).scalar_one()
            size = connection.exec_driver_sql("PRAGMA page_size").scalar_one()
        db.close()
        with (folder / "hpo.db").open("r+b") as file:
            file.seek(number * size - size // 16)  # a page is filled from its end
            file.write(b"\xff" * (size // 16))
        done, findings = checked()
        assert done.code in (1, 4)
        assert findings["integrity"]["verdict"] == "bad"
        assert "restore a backup" in findings["integrity"]["words"]

    def test_what_cannot_be_reached_is_told_in_one_line(self) -> None:
        for storage, code in (
            ("postgresql://user:secret@127.0.0.1:1/db", 4),
            ("oracle://user:secret@host/db", 2),
            ("sqlite:///nowhere.db", 3),
        ):
            done = hpo("storage", "check", "--storage", storage)
            assert (done.code, done.out) == (code, "")
            assert len(done.err.splitlines()) == 1
            assert "secret" not in done.err

    def test_little_room_beside_the_file_is_worth_a_note(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        create()
        assert checked()[1]["room"]["verdict"] == "good"
        monkeypatch.setattr(databases, "MIN_FREE_BYTES", 1 << 80)
        done, findings = checked()
        assert done.code == 0
        assert findings["room"]["verdict"] == "note"
        assert "free some" in findings["room"]["words"]

    def test_the_doctor_says_how_tables_are_mended(self) -> None:
        create()
        set_version("sqlite:///hpo.db", OURS, "0001")
        bad = [each for each in self.doctor() if each["verdict"] == "bad"]
        assert {each["what"] for each in bad} == {"tables of hpo", "storage"}
        assert all("hpo storage upgrade" in each["words"] for each in bad)
