"""Tables of other versions, their upgrade, the check of a database, and studies that pause."""

import json
import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from optuna.storages import RDBStorage

from storage import audit, schema, studies
from storage.audit import Rules
from storage.engine import Database
from storage.health import upgrade
from tests.storage.test_schema import differences, plain_engine
from tests.support.commands import run_hpo
from tests.support.storage_checks import work_rows
from tests.support.storage_kills import FORKS, JOIN_S, run_together
from tests.support.storage_worker import (
    N_FOLDS,
    OVER_S,
    do,
    make_plan,
    must_claim,
    new_study,
    play,
    play_at,
)
from tests.support.table_rows import OPTUNAS, OURS, execute, rows, set_version, version
from tests.support.tiny_studies import hpo, must


PLAN = make_plan()
SILENT = make_plan(lease_s=OVER_S)
OLDER = {OURS: "0001", OPTUNAS: "v3.0.0.d"}
NEWER = {OURS: "9999", OPTUNAS: "v9.9.9"}


def step_back(url: str) -> None:
    """Make of the database what the first version of hpo and an older Optuna left."""
    for table, column in (
        ("hpo_studies", "is_paused"),
        ("hpo_studies", "digest"),
        ("hpo_trainings", "digest"),
    ):
        execute(url, f"ALTER TABLE {table} DROP COLUMN {column}")
    for table, number in OLDER.items():
        set_version(url, table, number)


def make_first(url: str) -> None:
    """Make the tables as the first version of hpo made them."""
    RDBStorage(url).engine.dispose()
    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with plain_engine(url).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")


def columns(url: str) -> dict[str, list[str]]:
    """Every table's columns."""
    found = sa.inspect(plain_engine(url))
    names = found.get_table_names()
    return {name: sorted(c["name"] for c in found.get_columns(name)) for name in names}


def upgrade_at(url: str) -> None:
    """For a process of its own."""
    upgrade(url)


class TestUpgrade:
    def test_the_migrations_make_the_tables_of_the_code(self, database_url: str) -> None:
        make_first(database_url)
        first = columns(database_url)
        upgrade(database_url)
        assert differences(database_url) == []
        assert (
            version(database_url, OURS)
            == schema.current_tables(plain_engine(database_url))[0].needed
        )
        step_back(database_url)
        assert columns(database_url) == first, "what other tests upgrade is no first version"

    def test_nothing_that_was_recorded_is_changed_and_work_goes_on(self, database_url: str) -> None:
        db = Database(database_url, create=True)
        done, begun = new_study(db, 2), new_study(db, 3)
        play(db, done, PLAN, "worker")
        do(db, must_claim(db, begun, PLAN))
        must_claim(db, begun, SILENT)
        db.close()
        step_back(database_url)
        before = rows(database_url)
        upgrade(database_url)
        assert rows(database_url) == before
        assert differences(database_url) == []
        db = Database(database_url)
        assert not any(row.is_paused for row in studies.all_studies(db))
        play(db, begun, PLAN, "worker")
        assert audit.differences(db, begun, Rules(n_folds=N_FOLDS)) == []
        db.close()

    @pytest.mark.chaos
    @pytest.mark.short_on("postgresql")
    def test_processes_that_upgrade_together_upgrade_once(self, database_url: str) -> None:
        Database(database_url, create=True).close()
        step_back(database_url)
        assert run_together(upgrade_at, [(database_url,)] * 3) == [0] * 3
        assert differences(database_url) == []
        assert version(database_url, OPTUNAS) == "v3.2.0.a"
        Database(database_url).close()

    @pytest.mark.chaos
    @pytest.mark.short_on("sqlite")
    def test_one_that_was_cut_off_is_gone_on_with(self, database_url: str) -> None:
        """MariaDB and SQLite keep the new column when the new version is not yet noted."""
        Database(database_url, create=True).close()
        set_version(database_url, OURS, "0001")
        upgrade(database_url)
        assert differences(database_url) == []
        Database(database_url).close()

    def test_a_study_that_the_first_version_adds_is_not_paused(self, database_url: str) -> None:
        db = Database(database_url, create=True)
        db.optuna.create_new_study([], "old")
        execute(
            database_url,
            "INSERT INTO hpo_studies (study_id, name, protocol, n_trials, n_started, created_at) "
            "VALUES (1, 'old', '{}', 1, 0, 0)",
        )
        assert studies.get(db, "old").is_paused is False
        db.close()

    @pytest.mark.chaos
    def test_workers_at_work_outlive_the_upgrade_to_a_newer_version(
        self, database_url: str
    ) -> None:
        """As a later version will do it: by a column, and the number of its migration."""
        db = Database(database_url, create=True)
        study_id = new_study(db, 100)
        calls = [(database_url, study_id, PLAN, f"worker {n}") for n in range(2)]
        workers = [FORKS.Process(target=play_at, args=call) for call in calls]
        for worker in workers:
            worker.start()
        while len(work_rows(db, study_id)) < 5:
            threading.Event().wait(0.05)
        execute(database_url, "ALTER TABLE hpo_studies ADD COLUMN later INTEGER DEFAULT 7")
        set_version(database_url, OURS, "9999")
        n_then = len(work_rows(db, study_id))
        for worker in workers:
            worker.join(JOIN_S)
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert n_then < 100, "the upgrade came too late to be one under work"
        assert audit.differences(db, study_id, Rules(n_folds=N_FOLDS)) == []
        db.close()

    def test_the_command_says_from_which_version_to_which(self, sqlite_url: str) -> None:
        Database(sqlite_url, create=True).close()
        step_back(sqlite_url)
        storage = ("--storage", sqlite_url)
        done = hpo("storage", "upgrade", *storage)
        assert (done.code, done.out) == (0, "")
        assert done.err.splitlines() == [
            "tables of hpo: from version 0001 to 0003",
            "tables of Optuna: from version v3.0.0.d to v3.2.0.a",
        ]
        again = hpo("storage", "upgrade", *storage)
        assert (again.code, again.out) == (0, "")
        assert again.err.splitlines() == [
            "tables of hpo: at version 0003 already",
            "tables of Optuna: at version v3.2.0.a already",
        ]
        assert json.loads(must("study", "list", "--json", *storage)) == []

    def test_alembic_tells_nothing_of_its_own(self, sqlite_url: str) -> None:
        Database(sqlite_url, create=True).close()
        step_back(sqlite_url)
        done = run_hpo("storage", "upgrade", "--storage", sqlite_url)
        assert done.returncode == 0
        assert len(done.stderr.splitlines()) == 2

    def test_newer_tables_are_not_touched(self, sqlite_url: str) -> None:
        Database(sqlite_url, create=True).close()
        step_back(sqlite_url)
        before = columns(sqlite_url)
        for table in (OURS, OPTUNAS):
            set_version(sqlite_url, table, NEWER[table])
            done = hpo("storage", "upgrade", "--storage", sqlite_url)
            assert done.code == 4
            assert "install the newer" in done.err
            assert columns(sqlite_url) == before
            assert version(sqlite_url, table) == NEWER[table]
            set_version(sqlite_url, table, OLDER[table])

    def test_there_is_nothing_to_upgrade_in_an_empty_database(self, sqlite_url: str) -> None:
        done = hpo("storage", "upgrade", "--storage", sqlite_url)
        assert (done.code, done.out) == (3, "")
        assert "hpo study create" in done.err


WRONG = [
    (OURS, OLDER, "tables of hpo are at version 0001, older", "run: hpo storage upgrade"),
    (OURS, NEWER, "tables of hpo are at version 9999, newer", "install the newer hpo"),
    (OPTUNAS, OLDER, "tables of Optuna are at version v3.0.0.d, older", "run: hpo storage upgrade"),
    (OPTUNAS, NEWER, "tables of Optuna are at version v9.9.9, newer", "install the newer Optuna"),
]


@pytest.mark.parametrize(("table", "numbers", "what", "mend"), WRONG)
class TestTablesOfAnotherVersion:
    def test_every_command_says_what_mends_it(
        self, sqlite_url: str, table: str, numbers: dict[str, str], what: str, mend: str
    ) -> None:
        url = sqlite_url
        Database(url, create=True).close()
        good = version(url, table)
        set_version(url, table, numbers[table])
        commands = ("study list", "study show siamese", "worker", "study pause siamese")
        refused = [hpo(*asked.split(), "--storage", url) for asked in commands]
        set_version(url, table, good)
        for done in refused:
            assert (done.code, done.out) == (4, "")
            assert len(done.err.splitlines()) == 1
            assert what in done.err
            assert mend in done.err

    def test_a_worker_says_so_and_leaves_them_alone(
        self, sqlite_url: str, table: str, numbers: dict[str, str], what: str, mend: str
    ) -> None:
        db = Database(sqlite_url, create=True)
        studies.add(db, "study", "{}", 1)
        db.close()
        set_version(sqlite_url, table, numbers[table])
        before = rows(sqlite_url)
        done = hpo("worker", "--study", "study", "--storage", sqlite_url)
        assert (done.code, done.out) == (4, "")
        assert len(done.err.splitlines()) == 1
        assert what in done.err
        assert mend in done.err
        assert rows(sqlite_url) == before

    def test_the_check_shows_it_beside_all_that_is_well(
        self, sqlite_url: str, table: str, numbers: dict[str, str], what: str, mend: str
    ) -> None:
        Database(sqlite_url, create=True).close()
        set_version(sqlite_url, table, numbers[table])
        done = hpo("storage", "check", "--json", "--storage", sqlite_url)
        assert done.code == 4
        assert mend in done.err
        (bad,) = [each for each in json.loads(done.out) if each["verdict"] == "bad"]
        assert what in bad["words"]
        assert mend in bad["words"]


def test_optunas_older_tables_are_not_upgraded_unasked(
    sqlite_url: str,
) -> None:
    RDBStorage(sqlite_url).engine.dispose()
    set_version(sqlite_url, OPTUNAS, OLDER[OPTUNAS])
    done = hpo(
        "study",
        "create",
        "--architecture",
        "siamese",
        "--dataset",
        "digits",
        "--storage",
        sqlite_url,
    )
    assert done.code == 4
    assert "hpo storage upgrade" in done.err
    assert version(sqlite_url, OPTUNAS) == OLDER[OPTUNAS]
    must("storage", "upgrade", "--storage", sqlite_url)
    Database(sqlite_url).close()
