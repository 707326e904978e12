"""A study copied to another database is all there, or nothing of it is."""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages._rdb.models import BaseModel
from optuna_dashboard import save_note

from storage import audit, copying, renaming, studies
from storage.engine import Database
from storage.errors import CopyError, StudyBusyError, StudyExistsError
from storage.leases import Result, fenced, record, release, report
from storage.tables import NO_PART, hpo_claims, metadata
from tests.support.storage_checks import shared_database, work_rows
from tests.support.storage_worker import (
    N_FOLDS,
    OVER_S,
    do,
    give_parameters,
    judge_of,
    make_plan,
    must_claim,
    play,
    report_last,
    training,
)


PLAN = make_plan(n_repeats=2)
SILENT = make_plan(lease_s=OVER_S)
TEXT = "Traceback: 5 € → 😀"
PAIRS = [("sqlite", "postgresql"), ("postgresql", "mysql"), ("mysql", "sqlite")]
"""Each database is copied from once and to once."""


@pytest.fixture(scope="module", params=PAIRS, ids=lambda pair: f"{pair[0]}-to-{pair[1]}")
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Database]]:
    """Two open databases of different kinds; the first holds `study`, the second `resident`."""
    with contextlib.ExitStack() as stack:
        source, target = (
            stack.enter_context(shared_database(kind, tmp_path_factory.mktemp(kind)))
            for kind in request.param
        )
        worked_on(source)
        play(target, studies.add(target, "resident", "{}", 2), PLAN, "worker")
        yield source, target


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """SQLite files to begin with: with tables alone, and with the study of `worked_on`."""
    folder, made = tmp_path_factory.mktemp("files"), {}
    for name, fill in (("empty", studies.all_studies), ("worked on", worked_on)):
        db = Database(f"sqlite:///{folder / name}.db", create=True)
        fill(db)
        with db.engine.connect() as connection:  # all of it goes into the one file
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        made[name] = (folder / f"{name}.db").read_bytes()
    return made


@contextlib.contextmanager
def opened(folder: Path, *contents: bytes) -> Iterator[list[Database]]:
    """An open database for each of these files."""
    with contextlib.ExitStack() as stack:
        found = []
        for path, each in zip((folder / "a.db", folder / "b.db"), contents, strict=True):
            path.write_bytes(each)
            found.append(Database(f"sqlite:///{path}"))
            stack.callback(found[-1].close)
        yield found


@pytest.fixture
def two(tmp_path: Path, files: dict[str, bytes]) -> Iterator[tuple[Database, Database]]:
    """Two open SQLite databases."""
    with opened(tmp_path, files["empty"], files["empty"]) as (source, target):
        yield source, target


@pytest.fixture
def full_and_empty(tmp_path: Path, files: dict[str, bytes]) -> Iterator[tuple[Database, Database]]:
    """Two open SQLite databases; the first holds `study` with work in every state."""
    with opened(tmp_path, files["worked on"], files["empty"]) as (source, target):
        yield source, target


def silence(done: int, of_all: int) -> None:
    """Nobody watches."""


def copy(source: Database, target: Database, name: str = "study", new: str = "study") -> None:
    copying.put(target, new, copying.take(source, name), silence)


def worked_on(db: Database) -> int:
    """A study with work in every state, test runs, notes and odd values; gives its id."""
    study_id = studies.add(db, "study", '{"note": "ä€😀"}', 1)
    play(db, study_id, PLAN, "worker")
    studies.extend(db, "study", 7)
    folds = [training(fold, [0.1 + 0.2, 1 / 3]) for fold in range(N_FOLDS)]
    for result in (
        Result(outcome="pruned", error=1 / 3, n_parameters=192_601, n_epochs=2, trainings=folds),
        Result(outcome="failed", failure=TEXT),
    ):
        held = must_claim(db, study_id, PLAN)
        give_parameters(db, held)
        record(db, held, result)
    silent = must_claim(db, study_id, SILENT, "silent")
    report_last(db, silent, [give_parameters(db, silent)], judge_of(db, silent))
    for epoch, value in enumerate((float("nan"), float("inf"), -float("inf")), 2):
        db.optuna.set_trial_intermediate_value(silent.trial_id, epoch, value)
    polite = must_claim(db, study_id, PLAN, "polite")
    # The silent one was taken over by now: a lease that ran out is left once more.
    assert polite.trial == silent.trial
    with fenced(db, polite) as connection:
        ran_out = sa.update(hpo_claims).where(hpo_claims.c.id == polite.id)
        connection.execute(ran_out.values(expires_at=hpo_claims.c.claimed_at - 60))
    note(db, study_id)
    with db.engine.begin() as connection:
        beat = sa.insert(BaseModel.metadata.tables["trial_heartbeats"])
        connection.execute(beat.values(trial_id=polite.trial_id))
    return study_id


def note(db: Database, study_id: int) -> None:
    """What a person writes on the dashboard, on the study and on a trial, and Optuna itself."""
    study = optuna.load_study(study_name="study", storage=db.optuna)
    save_note(study, TEXT)
    second = study.trials[1]._trial_id  # as its own function, which takes a running trial alone
    db.optuna.set_study_system_attr(study_id, f"dashboard:{second}:note_ver", 1)
    db.optuna.set_study_system_attr(study_id, f"dashboard:{second}:note_str:0", "the *second*")
    study.set_user_attr("by", "ä€")
    db.optuna.set_study_system_attr(study_id, "dashboard:of nobody", 1)


def recorded(db: Database, name: str) -> dict[str, Any]:
    """All that the public doors tell of a study, but for the ids that a database gives."""
    row = studies.get(db, name)
    work = studies.work(db, row.study_id)
    of = {each.id: (each.kind, each.trial, each.part) for each in work}
    changing = ("id", "trial_id", "since_s", "is_silent", "is_given_back")
    return {
        "study": (row.protocol, row.n_trials, row.n_started, row.choice, row.created_at),
        "work": [
            {name: value for name, value in vars(each).items() if name not in changing}
            for each in work
        ],
        "curves": [
            (*of[each.claim_id], each.fold, each.error, each.curve, each.train_s, each.versions)
            for each in studies.curves(db, row.study_id)
        ],
        "trials": [told(trial) for trial in db.optuna.get_all_trials(row.study_id)],
        "directions": db.optuna.get_study_directions(row.study_id),
        "user_attrs": db.optuna.get_study_user_attrs(row.study_id),
    }


def told(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """What Optuna tells of a trial; its moments to the second, as MariaDB keeps them."""
    moments = (trial.datetime_start, trial.datetime_complete)
    return {
        "number": trial.number,
        "state": trial.state,
        "values": trial.values,
        "params": list(trial.params.items()),
        "distributions": list(trial.distributions.items()),
        "intermediate_values": repr(trial.intermediate_values),  # NaN is not itself
        "user_attrs": trial.user_attrs,
        "system_attrs": trial.system_attrs,
        "moments": [moment and moment.replace(microsecond=0) for moment in moments],
    }


def contents(db: Database) -> dict[str, list[Any]]:
    """Every row of every table."""
    with db.reading() as connection:
        return {
            table.name: list(connection.execute(sa.select(table)).all())
            for table in (*metadata.sorted_tables, *BaseModel.metadata.sorted_tables)
        }


def audited(db: Database, name: str) -> list[str]:
    return audit.differences(db, studies.get(db, name).study_id, audit.Rules(n_folds=N_FOLDS))


def test_a_study_is_copied_whole_to_every_kind_of_database(
    pair: tuple[Database, Database],
) -> None:
    source, target = pair
    before = contents(source)
    resident = recorded(target, "resident")
    copy(source, target, new="new name")
    assert renaming.names(target, studies.get(target, "new name").study_id) == ("new name", "study")
    assert recorded(target, "new name") == recorded(source, "study")
    assert {row.state for row in work_rows(source, studies.get(source, "study").study_id)} == {
        "complete",
        "pruned",
        "failed",
        "live",
    }
    assert audited(target, "new name") == []
    assert contents(source) == before
    assert recorded(target, "resident") == resident
    check_notes(target, "new name")


def check_notes(target: Database, name: str) -> None:
    """What was noted on a trial stays with it, under its new id."""
    study_id = studies.get(target, name).study_id
    trials = target.optuna.get_all_trials(study_id)
    notes = target.optuna.get_study_system_attrs(study_id)
    assert {key: value for key, value in notes.items() if "note_str" in key} == {
        "dashboard:note_str:0": TEXT,
        f"dashboard:{trials[1]._trial_id}:note_str:0": "the *second*",
    }
    assert notes["dashboard:of nobody"] == 1


def test_a_copy_is_gone_on_with_at_once(pair: tuple[Database, Database]) -> None:
    source, target = pair
    study_id = studies.get(source, "study").study_id
    copy(source, target)
    there = studies.get(target, "study").study_id
    taken = must_claim(target, there, PLAN, "taker")
    assert (taken.trial, taken.part, taken.token) == (3, NO_PART, 3)
    assert target.optuna.get_trial(taken.trial_id).intermediate_values == {}
    do(target, taken)
    play(target, there, PLAN, "worker")
    assert audited(target, "study") == []
    assert [row.trial for row in work_rows(target, there)] == list(range(7))
    assert len(work_rows(source, study_id)) == 4


def test_a_lease_of_a_clock_ahead_is_free_in_the_copy(
    two: tuple[Database, Database],
) -> None:
    """As it is where the source's clock is ahead."""
    source, target = two
    study_id = studies.add(source, "study", "{}", 1)
    must_claim(source, study_id, SILENT)
    taken = copying.take(source, "study")
    (row,) = taken.rows[copying._CLAIMS]
    row["expires_at"] += 3600
    copying.put(target, "study", taken, silence)
    assert must_claim(target, studies.get(target, "study").study_id, PLAN).trial == 0


def test_a_lease_from_before_the_clock_was_set_back_delays_no_copy(
    two: tuple[Database, Database],
) -> None:
    source, target = two
    dead = must_claim(source, studies.add(source, "study", "{}", 1), PLAN, "dead")
    report(source, dataclasses.replace(dead, lease_s=3600.0), n_epochs=0)
    with pytest.raises(StudyBusyError, match="by dead"):
        copying.take(source, "study", lease_s=3600.0)
    copying.put(target, "study", copying.take(source, "study", lease_s=PLAN.lease_s), silence)
    assert must_claim(target, studies.get(target, "study").study_id, PLAN).trial == 0


def test_work_given_back_is_copied_as_such(two: tuple[Database, Database]) -> None:
    source, target = two
    study_id = studies.add(source, "study", "{}", 1)
    release(source, must_claim(source, study_id, PLAN))
    copy(source, target)
    (work,) = studies.work(target, studies.get(target, "study").study_id)
    assert work.is_given_back
    assert work.n_attempts == 0


def test_a_copy_is_not_paused(two: tuple[Database, Database]) -> None:
    source, target = two
    studies.add(source, "study", "{}", 1)
    studies.set_paused(source, "study", True)
    copy(source, target)
    assert not studies.get(target, "study").is_paused
    assert studies.get(source, "study").is_paused


def test_a_study_under_work_is_not_copied(pair: tuple[Database, Database]) -> None:
    source, target = pair
    study_id, before = studies.add(source, "busied", "{}", 3), contents(target)
    for worker in ("busy", "busier"):
        must_claim(source, study_id, PLAN, worker)
    silenced = must_claim(source, study_id, PLAN, "silent")
    report(source, dataclasses.replace(silenced, lease_s=OVER_S), n_epochs=0)
    with pytest.raises(StudyBusyError, match=r"by busier, busy; .* hpo study pause busied"):
        copy(source, target, "busied", "its copy")
    assert contents(target) == before


def test_a_late_worker_records_nothing_during_a_copy(database_url: str, tmp_path: Path) -> None:
    source, worker = Database(database_url, create=True), Database(database_url)
    target = Database(f"sqlite:///{tmp_path / 'target.db'}", create=True)
    held = must_claim(worker, studies.add(source, "study", "{}", 1), SILENT, "late")
    thread, was_waiting = threading.Thread(target=do, args=(worker, held)), list[bool]()

    def begin(*call: Any) -> None:
        if "FROM trial_params" in call[2] and not was_waiting:
            thread.start()
            thread.join(0.5)
            was_waiting.append(thread.is_alive())

    sa.event.listen(source.engine, "before_cursor_execute", begin)
    copy(source, target)
    thread.join()
    assert was_waiting == [True]
    assert audited(target, "study") == []
    for db in (source, worker, target):
        db.close()


def test_a_result_on_its_way_is_waited_for(database_url: str) -> None:
    source, worker = Database(database_url, create=True), Database(database_url)
    held = must_claim(worker, studies.add(source, "study", "{}", 1), SILENT, "late")
    taken: list[copying.Contents] = []
    thread = threading.Thread(target=lambda: taken.append(copying.take(source, "study")))
    with fenced(worker, held) as connection:
        thread.start()
        thread.join(0.3)
        connection.execute(sa.update(hpo_claims).values(n_epochs=9))
    thread.join()
    assert [row["n_epochs"] for row in taken[0].rows[copying._CLAIMS]] == [9]
    for db in (source, worker):
        db.close()


def test_a_taken_name_is_refused_and_nothing_changed(pair: tuple[Database, Database]) -> None:
    source, target = pair
    before = contents(target)
    with pytest.raises(StudyExistsError, match="'resident'"):
        copy(source, target, new="resident")
    assert contents(target) == before


def test_a_copy_in_the_same_database_needs_another_name(
    full_and_empty: tuple[Database, Database],
) -> None:
    db, _ = full_and_empty
    with pytest.raises(StudyExistsError):
        copy(db, db)
    copy(db, db, new="twin")
    assert recorded(db, "twin") == recorded(db, "study")


TRIMMED = """\
CREATE TRIGGER trimmed AFTER INSERT ON hpo_trainings
BEGIN UPDATE hpo_trainings SET error = error + 1e-12 WHERE id = new.id; END"""


def test_a_copy_that_reads_otherwise_is_not_kept(
    full_and_empty: tuple[Database, Database],
) -> None:
    source, target = full_and_empty
    with target.engine.begin() as connection:
        connection.exec_driver_sql(TRIMMED)
    before = contents(target)
    with pytest.raises(CopyError, match="hpo_trainings"):
        copy(source, target)
    assert contents(target) == before


LOST = """\
CREATE TRIGGER lost AFTER INSERT ON {table}
BEGIN DELETE FROM {table} WHERE rowid = new.rowid; END"""
OWNERS = ("trials", "hpo_claims")


@pytest.mark.parametrize(
    "table", sorted({table.table.name for table in copying.STUDY_TABLES} - {*OWNERS})
)
def test_a_row_of_any_table_that_is_lost_on_the_way_is_noticed(
    full_and_empty: tuple[Database, Database], table: str
) -> None:
    source, target = full_and_empty
    assert contents(source)[table], "the test needs a row there"
    with target.engine.begin() as connection:
        connection.exec_driver_sql(LOST.format(table=table))
    before = contents(target)
    with pytest.raises(CopyError, match=table):
        copy(source, target)
    assert contents(target) == before


def test_every_table_is_copied_but_those_of_versions() -> None:
    tables = {*metadata.tables, *BaseModel.metadata.tables}
    copied = {table.table.name for table in copying.STUDY_TABLES}
    assert tables - copied == {"studies", "version_info"}  # Optuna itself writes the first
