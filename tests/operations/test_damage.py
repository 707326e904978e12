"""What is damaged by hand is found by the check, and ends nothing but commands on that study."""

import contextlib
import io
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from rich.console import Console

from hpo.errors import DamagedError
from hpo.operations import databases
from hpo.operations.audit import problems
from hpo.reports.study_progress import StudyProgress
from hpo.studies.lifecycle import open_database, open_study
from hpo.studies.status import show
from hpo.studies.trials import list_trials
from hpo.workers.plan import make_plan
from hpo.workers.prometheus import Monitor
from storage import claims, studies
from storage.engine import Database
from tests.support.tiny_studies import FIXED, hpo, must, tiny_flags, write_recipe


A = "(SELECT study_id FROM studies WHERE study_name = 'a')"
TRIAL = f"(SELECT trial_id FROM trials WHERE study_id = {A} AND number = 1)"
TEST = f"kind = 'test' AND part = 1 AND study_id = {A}"
WORK = f"kind = 'trial' AND trial = 1 AND study_id = {A}"
FOLD = f"fold = 1 AND claim_id = (SELECT id FROM hpo_claims WHERE {WORK})"
PARAMETER = f"param_name = 'learning_rate' AND trial_id = {TRIAL}"

OF_STUDY = {
    "no number of trials": ("n_trials = 'many'", "n_trials is 'many'"),
    "no trials": ("n_trials = 0", "n_trials is 0"),
    "more trials than can be": ("n_trials = 9000000", "9000000 trials; possible are 1000000"),
    "more started than there are": ("n_started = 1e12, n_trials = 2e12", "trials 3 to 9999"),
    "created in the future": ("created_at = created_at + 1e9", "created in the future"),
    "created at another time": ("created_at = created_at - 1", "differs from its digest"),
    "another protocol": (
        "protocol = json_set(protocol, '$.seed', 5)",
        "the protocol differs from its digest",
    ),
    "a protocol that is no text": ("protocol = x'00ff'", "protocol is"),
    "an unknown pruner": ("protocol = json_set(protocol, '$.pruner', 'axe')", "named 'axe'"),
    "a choice that is lost": ("choice = NULL", "the choice is missing"),
    "a choice made too early": ("n_trials = 9", "the search is not over"),
    "paused by a word": ("is_paused = 'no'", "is_paused is 'no'"),
}
OF_WORK = {
    "fewer epochs than its curves": ("n_epochs = 1", "but curves of 2, 2"),
    "more epochs than can be": ("n_epochs = 3", "possible are 2"),
    "half an epoch": ("n_epochs = 1.5", "n_epochs is 1.5"),
    "a token below its attempts": ("n_attempts = 2", "token 1 after 2 attempts"),
    "too many attempts": ("n_attempts = 9, token = 9", "after 9 attempts"),
    "claimed in the future": ("claimed_at = 1e12", "claimed in the future"),
    "claimed before the study": ("claimed_at = 0", "before the study was created"),
    "a lease from before the claim": ("expires_at = 5", "the lease ended before"),
    "given back and complete": ("expires_at = 0", "but was given back"),
    "an error that is a word": ("error = 'low'", "error is 'low'"),
    "an error without end": ("error = 9e999", "error is inf"),
    "another error": ("error = -0.5", "the error is -0.5 in hpo's tables"),
    "a reason of failure": ("failure = 'why'", "has a reason of failure"),
    "no number of parameters": ("n_parameters = NULL", "without a number of parameters"),
    "a round that trials have not": ("part = 4", "but trials have none"),
    "no attempt": ("n_attempts = 0", "complete after 0 attempts"),
    "another worker": ("worker = 'other'", "by another worker"),
    "a kind that is unknown": ("kind = 'dance'", "kind is 'dance'"),
}
OF_TEST_RUN = {
    "a seed that was not asked for": ("part = 7", "no test run of that seed"),
    "a seed below 0": ("part = -1", "no test run of that seed"),
    "of a trial that is not the best": ("trial = (trial + 1) % 3", "the least error"),
    "another network": ("n_parameters = 1", "the number of parameters is 1"),
    "pruned": ("state = 'pruned'", "test runs are never pruned"),
}
OF_TRAINING = {
    "an error that is not the curve's": ("error = 0.9", "the curve ends with"),
    "another curve": ("curve = '[0.5, 0.25]', error = 0.25", "value of step 1 is"),
    "a curve that is too short": ("curve = '[0.5]', error = 0.5, digest = NULL", "epochs"),
    "a curve with a word": ("curve = '[0.5, \"low\"]'", "no finite number"),
    "a curve that is not finite": ("curve = '[0.5, NaN]'", "no finite number"),
    "a curve that is too deep": (f"curve = '{'[' * 100_000}'", "is no JSON"),
    "another digest": ("digest = 'x'", "differs from its digest"),
    "seconds below 0": ("train_s = -1", "train_s is -1"),
    "seconds that are a word": ("train_s = 'long'", "train_s is 'long'"),
    "more seconds than it was held": ("train_s = 1e9", "longer than the work was held"),
    "versions that are a list": ("versions = '[]'", "versions is '[]'"),
    "a fold that the study has not": ("fold = 5", "with trainings of the folds [0, 5]"),
}
OF_TRIAL = f"trial_id = {TRIAL}"
PLANNED = f"(SELECT trial_id FROM trials WHERE study_id = {A} AND number = 0)"
OF_OPTUNA = {
    "no direction": (f"DELETE FROM study_directions WHERE study_id = {A}", "study are none"),
    "a lost step": (
        f"DELETE FROM trial_intermediate_values WHERE step = 2 AND {OF_TRIAL}",
        "of other steps",
    ),
    "a parameter too many": (
        f"""INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json)
        SELECT trial_id, 'hue', 1, distribution_json FROM trial_params WHERE {PARAMETER}""",
        "'hue' is not in the search space",
    ),
}
CHANGES_OF_OPTUNA = {
    "another direction": (
        f"study_directions SET direction = 'MAXIMIZE' WHERE study_id = {A}",
        "directions of Optuna's study are 'MAXIMIZE'",
    ),
    "a trial of another number": (
        f"trials SET number = 9 WHERE {OF_TRIAL}",
        "trial 1 is missing in Optuna's tables",
    ),
    "an unknown state": (f"trials SET state = 'LOST' WHERE {OF_TRIAL}", "LOST in Optuna's"),
    "no start": (
        f"trials SET datetime_start = NULL WHERE {OF_TRIAL}",
        "no time of its start",
    ),
    "an end in the future": (
        f"trials SET datetime_complete = '9999-01-01' WHERE {OF_TRIAL}",
        "a time in the future",
    ),
    "a time that is none": (
        f"trials SET datetime_start = 'noon' WHERE {OF_TRIAL}",
        "cannot be read (ValueError",
    ),
    "an infinite value": (
        f"trial_values SET value = NULL, value_type = 'INF_POS' WHERE {OF_TRIAL}",
        "INF_POS",
    ),
    "another step": (
        f"trial_intermediate_values SET intermediate_value = 0.9 WHERE step = 1 AND {OF_TRIAL}",
        "the intermediate value of step 1 is 0.9",
    ),
    "a value outside its range": (
        f"trial_params SET param_value = 5 WHERE {PARAMETER}",
        "outside its range: 5",
    ),
    "a choice between two": (
        f"trial_params SET param_value = 0.5 WHERE param_name = 'channels_0' AND {OF_TRIAL}",
        "outside its range: 0.5",
    ),
    "another range": (
        f"""trial_params SET distribution_json = replace(distribution_json, '0.01', '0.02')
        WHERE {PARAMETER}""",
        "another range than in the search space",
    ),
    "other parameters than planned": (
        f"""trial_params SET param_value = 0.002
        WHERE param_name = 'learning_rate' AND trial_id = {PLANNED}""",
        "other parameters than were planned",
    ),
}
DAMAGES = {
    **{
        f"study: {name}": (f"UPDATE hpo_studies SET {change} WHERE name = 'a'", says)
        for name, (change, says) in OF_STUDY.items()
    },
    **{
        f"trial: {name}": (f"UPDATE hpo_claims SET {change} WHERE {WORK}", says)
        for name, (change, says) in OF_WORK.items()
    },
    **{
        f"test run: {name}": (f"UPDATE hpo_claims SET {change} WHERE {TEST}", says)
        for name, (change, says) in OF_TEST_RUN.items()
    },
    **{
        f"training: {name}": (f"UPDATE hpo_trainings SET {change} WHERE {FOLD}", says)
        for name, (change, says) in OF_TRAINING.items()
    },
    **{
        f"Optuna: {name}": (f"UPDATE {change}", says)
        for name, (change, says) in CHANGES_OF_OPTUNA.items()
    },
    **{f"Optuna: {name}": damage for name, damage in OF_OPTUNA.items()},
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The file of a database with the complete study `a` and the new study `b`."""
    folder = tmp_path_factory.mktemp("made")
    write_recipe(folder)
    write_recipe(folder, FIXED, "fixed.yaml")
    storage = ("--storage", f"sqlite:///{folder / 'hpo.db'}")
    must(
        *["study", "create", "--architecture", "siamese", "--name", "a", "--pruner", "none"],
        *tiny_flags(trials=3),
        "--space",
        folder / "recipe.yaml",
        *storage,
    )
    must("worker", "--study", "a", "--processes", "1", *storage)
    flags = tiny_flags(trials=1, epochs=1, repeats=1)
    must(
        *["study", "create", "--architecture", "siamese", "--name", "b", "--pruner", "none"],
        *flags,
        "--space",
        folder / "fixed.yaml",
        *storage,
    )
    with contextlib.closing(sqlite3.connect(folder / "hpo.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return (folder / "hpo.db").read_bytes()


@pytest.fixture(scope="module")
def shared(database: bytes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """An open database that the tests of single damages share."""
    folder = tmp_path_factory.mktemp("shared")
    for name in ("hpo.db", "sound.db"):
        (folder / name).write_bytes(database)
    with contextlib.closing(open_database(f"sqlite:///{folder / 'hpo.db'}")) as db:
        yield db


@pytest.fixture
def to_damage(shared: Database) -> Iterator[Database]:
    """The shared database, whose rows are restored after the test."""
    yield shared
    path = str(shared.url.database)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("ATTACH ? AS sound", [path.replace("hpo.db", "sound.db")])
        tables = "SELECT name FROM sound.sqlite_master WHERE type = 'table'"
        names = [name for (name,) in connection.execute(tables) if "sqlite" not in name]
        connection.execute("BEGIN")
        for name in names:
            connection.execute(f"DELETE FROM main.{name}")
            connection.execute(f"INSERT INTO main.{name} SELECT * FROM sound.{name}")
        connection.execute("COMMIT")
    shared.clear_cache()


@pytest.fixture
def damaged(
    database: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sqlite3.Connection]:
    """A connection to a copy of the database in the working folder, to damage it."""
    monkeypatch.chdir(tmp_path)
    Path("hpo.db").write_bytes(database)
    with contextlib.closing(sqlite3.connect("hpo.db", isolation_level=None)) as connection:
        yield connection


def found() -> dict[str, dict[str, str]]:
    """The findings of `hpo storage check`, by what was looked at."""
    return {each["what"]: each for each in json.loads(hpo("storage check --json").out)}


def listed() -> list[str]:
    """The studies that `hpo study list` lists."""
    return [each["name"] for each in json.loads(must("study list --json"))]


def test_what_is_sound_is_good(damaged: sqlite3.Connection) -> None:
    assert {each["verdict"] for each in found().values()} == {"good"}
    assert listed() == ["a", "b"]


@pytest.mark.parametrize(("statement", "says"), DAMAGES.values(), ids=list(DAMAGES))
def test_damage_is_found_and_reading_says_so(
    to_damage: Database, statement: str, says: str
) -> None:
    db = to_damage
    with db.engine.begin() as connection:
        assert connection.exec_driver_sql(statement).rowcount == 1
    a, b = studies.all_studies(db)
    assert says in "; ".join(problems(db, a)[: databases.MAX_LISTED])
    assert problems(db, b) == []
    with contextlib.suppress(DamagedError):
        study = open_study(db, "a")
        show(db, study)
        list_trials(db, study)


COMMANDS = ("study list", "study show a", "study trials a", "export a")


@pytest.mark.parametrize(
    "name",
    [
        "study: no number of trials",
        "study: paused by a word",
        "trial: an error that is a word",
        "training: a curve with a word",
        "Optuna: an unknown state",
    ],
)
def test_commands_end_in_one_line(damaged: sqlite3.Connection, name: str) -> None:
    damaged.execute(DAMAGES[name][0])
    done = [hpo(command) for command in COMMANDS]
    assert done[0].code == 0
    assert {each.code for each in done} <= {0, 1}
    assert all(each.err.count("\n") <= 1 for each in done)
    assert all("hpo storage check" in each.err for each in done if each.code)


LOST = f"UPDATE hpo_claims SET state = 'lost' WHERE {WORK}"
UNCLAIMABLE = f"""
DELETE FROM hpo_trainings WHERE claim_id = (SELECT id FROM hpo_claims WHERE {TEST});
DELETE FROM hpo_claims WHERE {TEST};
UPDATE hpo_studies SET choice = 99 WHERE name = 'a'
"""
"""A test run is missing, but its trial does not exist."""


@pytest.mark.parametrize("statements", [LOST, UNCLAIMABLE], ids=["unreadable", "unclaimable"])
def test_a_worker_of_any_study_does_the_others(
    damaged: sqlite3.Connection, statements: str
) -> None:
    damaged.executescript(statements)
    done = hpo("worker --processes 1")
    assert done.code == 0
    assert done.err.count("study a is left out") == 1
    assert json.loads(must("study show b --json"))["state"] == "complete"


def test_a_trial_that_optuna_has_lost_gives_its_number_to_no_other(
    damaged: sqlite3.Connection,
) -> None:
    damaged.executescript("""
    UPDATE hpo_studies SET n_started = 1, n_trials = 2 WHERE name = 'b';
    INSERT INTO hpo_claims (study_id, kind, trial, part, trial_id, state, token, n_attempts,
    worker, claimed_at, expires_at, n_epochs, failure)
    SELECT study_id, 'trial', 0, -1, 99, 'failed', 1, 1, 'w', created_at, created_at, 0, 'why'
    FROM hpo_studies WHERE name = 'b'
    """)
    done = hpo("worker --study b --processes 1")
    assert done.code == 1
    assert "Optuna's tables have 0 of the 1 started trials" in done.err.splitlines()[-1]
    assert hpo("worker --processes 1").code == 1


@pytest.mark.parametrize(
    "command", ["worker --study a --processes 1", "study copy a --to sqlite:///copy.db"]
)
def test_a_command_on_the_study_names_the_check(damaged: sqlite3.Connection, command: str) -> None:
    damaged.execute(LOST)
    damaged.execute(f"UPDATE hpo_trainings SET curve = '[0.5, 0.5]' WHERE {FOLD}")
    done = hpo(command)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "hpo storage check" in done.err


@pytest.mark.parametrize(
    "name",
    [
        "study: a choice that is lost",
        "training: seconds below 0",
        "training: seconds that are a word",
        "Optuna: a trial of another number",
    ],
)
def test_a_damaged_study_is_not_copied(damaged: sqlite3.Connection, name: str) -> None:
    statement, says = DAMAGES[name]
    damaged.execute(statement)
    done = hpo("study copy a --to sqlite:///copy.db")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert says in done.err
    assert not Path("copy.db").exists()


@pytest.mark.parametrize("table", ["hpo_claims", "trials"])
def test_a_damaged_study_can_be_deleted(damaged: sqlite3.Connection, table: str) -> None:
    damaged.execute(f"UPDATE {table} SET state = 'lost' WHERE study_id = {A}")
    must("study delete a --yes")
    assert listed() == ["b"]
    assert {each["verdict"] for each in found().values()} == {"good"}


@pytest.mark.parametrize("table", ["hpo_trainings", "trial_params"])
def test_rows_of_no_work_are_found(damaged: sqlite3.Connection, table: str) -> None:
    owner = "claim_id" if table == "hpo_trainings" else "trial_id"
    damaged.execute(f"UPDATE {table} SET {owner} = 999 WHERE {owner} = 1")
    words = found()["rows"]
    assert words["verdict"] == "bad"
    assert f"of {table} refer to a {owner} that does not exist" in words["words"]


@pytest.mark.parametrize(
    ("number", "says"),
    [(0, "the first 1 trials never are"), (1, "pruned after step 2, where no pruner stops it")],
)
def test_a_trial_that_no_pruner_stopped_is_found(
    damaged: sqlite3.Connection, number: int, says: str
) -> None:
    damaged.executescript(f"""
    UPDATE hpo_claims SET state = 'pruned'
    WHERE kind = 'trial' AND trial = {number} AND study_id = {A};
    UPDATE trials SET state = 'PRUNED' WHERE number = {number} AND study_id = {A}
    """)
    assert says in found()["study a"]["words"]


def test_a_test_run_that_was_changed_everywhere_is_found(damaged: sqlite3.Connection) -> None:
    curve = "curve = '[0.5, 0.25]', error = 0.25"
    of_test = f"(SELECT id FROM hpo_claims WHERE {TEST})"
    damaged.execute(f"UPDATE hpo_trainings SET {curve} WHERE claim_id = {of_test}")
    damaged.execute(f"UPDATE hpo_claims SET error = 0.25 WHERE {TEST}")
    assert "fold 0 differs from its digest" in found()["study a"]["words"]


def test_a_damaged_study_that_was_renamed_is_found(damaged: sqlite3.Connection) -> None:
    damaged.execute(f"UPDATE trials SET state = 'LOST' WHERE {OF_TRIAL}")
    damaged.execute("UPDATE studies SET study_name = 'other' WHERE study_name = 'a'")
    assert any("hpo storage purge a --yes" in each["words"] for each in found().values())
    assert listed() == ["b"]


def test_many_problems_are_a_few_lines(damaged: sqlite3.Connection) -> None:
    damaged.execute("UPDATE hpo_trainings SET train_s = -1")
    words = found()["study a"]["words"]
    assert words.count("train_s is -1") == 3
    assert "; and 5 more; " in words


def test_the_metrics_are_served(damaged: sqlite3.Connection) -> None:
    damaged.execute("UPDATE hpo_studies SET n_trials = 'many' WHERE name = 'a'")
    damaged.execute(f"UPDATE hpo_claims SET kind = x'ff' WHERE {WORK}")
    with contextlib.closing(open_database()) as db:
        registry = Monitor(db).registry
        assert registry.get_sample_value("hpo_trials_target", {"study": "b"}) == 1
        assert registry.get_sample_value("hpo_trials_target", {"study": "a"}) is None


def test_errors_whose_sum_is_too_large_are_listed(damaged: sqlite3.Connection) -> None:
    damaged.execute("UPDATE hpo_claims SET error = 1.7e308 WHERE kind = 'test'")
    assert listed() == ["a", "b"]
    shown = must("study show a")
    assert "1.70e+310 ± 0.00 % (n = 2)" in shown
    best = json.loads(must("study show a --json"))["best"]
    assert best["test_error"]["mean"] == 1.7e308
    assert len(must("study list")) < 1000


def test_text_that_is_no_utf_8_ends_nothing(damaged: sqlite3.Connection) -> None:
    damaged.execute("UPDATE hpo_studies SET protocol = cast(x'ff' AS TEXT) WHERE name = 'a'")
    assert found()["study a"]["verdict"] == "bad"
    assert listed() == ["b"]


def test_the_progress_shows_the_others(damaged: sqlite3.Connection) -> None:
    damaged.execute(LOST)
    console = Console(file=io.StringIO(), width=100)
    with contextlib.closing(open_database()) as db:
        study = open_study(db, "b")
        claims.claim(db, study.id, make_plan(study.protocol), "worker")
        console.print(StudyProgress(db, None).frame())
    assert "0 of 1 trials" in cast(io.StringIO, console.file).getvalue()


def test_a_record_without_digest_is_no_fault(damaged: sqlite3.Connection) -> None:
    damaged.execute("UPDATE hpo_trainings SET digest = NULL")
    damaged.execute("UPDATE hpo_studies SET digest = NULL")
    assert found()["study a"]["verdict"] == "good"
