"""What hpo relies on in Optuna's private database code; a new Optuna that breaks it fails here."""

import inspect

import optuna
import pytest
import sqlalchemy as sa
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from storage import optuna_tables
from storage.engine import Database
from storage.optuna_tables import VERSION_TABLE, all_tables
from tests.support.sources import ROOT, imports, sources


COLUMNS = {
    "studies": {"study_id", "study_name"},
    "study_directions": {"study_id", "direction", "objective"},
    "study_user_attributes": {"study_id", "key", "value_json"},
    "study_system_attributes": {"study_id", "key", "value_json"},
    "trials": {
        "trial_id",
        "number",
        "study_id",
        "state",
        "datetime_start",
        "datetime_complete",
    },
    "trial_params": {"trial_id", "param_name", "param_value", "distribution_json"},
    "trial_values": {"trial_id", "value", "value_type", "objective"},
    "trial_intermediate_values": {
        "trial_id",
        "step",
        "intermediate_value",
        "intermediate_value_type",
    },
    "trial_user_attributes": {"trial_id", "key", "value_json"},
    "trial_system_attributes": {"trial_id", "key", "value_json"},
    "trial_heartbeats": {"trial_id", "heartbeat"},
    "version_info": {"schema_version"},
}
"""The tables that a study is made of, with the columns that hpo reads or writes."""


def test_optuna_has_these_tables_and_columns() -> None:
    """A table that is missing here would be left out when a study is copied."""
    tables = {table.name: set(table.columns.keys()) for table in all_tables()}
    assert tables.keys() == COLUMNS.keys()
    assert [name for name, columns in COLUMNS.items() if not columns <= tables[name]] == []


def test_optuna_keeps_its_migrations_in_this_folder() -> None:
    assert (optuna_tables.MIGRATIONS / "versions").is_dir()


def test_optuna_takes_these_arguments() -> None:
    known = inspect.signature(RDBStorage).parameters.keys()
    assert {"engine_kwargs", "skip_table_creation", "skip_compatibility_check"} <= known


def test_only_one_file_imports_private_database_code() -> None:
    users = {
        str(path.relative_to(ROOT))
        for part in ("cli", "hpo", "search_spaces", "storage")
        for path in sources(part)
        for name in imports(path)
        if name.startswith("optuna.storages._")
    }
    assert users == {"storage/optuna_tables.py"}


@pytest.fixture
def trial(sqlite_url: str) -> tuple[Database, int]:
    """An open database and the id of a running trial in it."""
    db = Database(sqlite_url, create=True)
    study_id = db.optuna.create_new_study([optuna.study.StudyDirection.MINIMIZE], "s")
    return db, db.optuna.create_new_trial(study_id)


def test_the_version_table_has_this_name(trial: tuple[Database, int]) -> None:
    db, _ = trial
    assert VERSION_TABLE in sa.inspect(db.engine).get_table_names()


def test_what_is_written_is_what_optuna_reads(trial: tuple[Database, int]) -> None:
    db, trial_id = trial
    depth = optuna.distributions.IntDistribution(1, 9)
    with db.transaction() as connection:
        optuna_tables.insert_parameters(connection, trial_id, {"depth": (3, depth)})
        optuna_tables.write_intermediate_values(connection, trial_id, {1: 0.5, 2: float("inf")})
        optuna_tables.write_intermediate_values(connection, trial_id, {1: 0.25})
    found = db.optuna.get_trial(trial_id)
    assert (found.params, found.distributions) == ({"depth": 3}, {"depth": depth})
    assert found.intermediate_values == {1: 0.25, 2: float("inf")}


def test_reports_and_pruner_notes_are_forgotten(trial: tuple[Database, int]) -> None:
    db, trial_id = trial
    pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1)
    study = optuna.load_study(study_name="s", storage=db.optuna, pruner=pruner)
    optuna.trial.Trial(study, trial_id).report(0.5, 1)
    optuna.trial.Trial(study, trial_id).should_prune()
    assert db.optuna.get_trial(trial_id).system_attrs.keys() == {"completed_rung_0"}
    with db.transaction() as connection:
        optuna_tables.delete_reports(connection, trial_id)
    forgotten = db.optuna.get_trial(trial_id)
    assert (forgotten.intermediate_values, forgotten.system_attrs) == ({}, {})


def test_a_planned_trial_is_drawn_by_no_sampler(trial: tuple[Database, int]) -> None:
    db, _ = trial
    study = optuna.load_study(study_name="s", storage=db.optuna)
    study.add_trial(optuna_tables.planned_trial({"x": 0.125}))
    planned = study.trials[-1]
    assert planned.state == TrialState.RUNNING
    assert optuna.trial.Trial(study, planned._trial_id).suggest_float("x", 0, 1) == 0.125
