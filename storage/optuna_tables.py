"""Optuna's tables: everything that hpo uses of Optuna's private database code.

Optuna has no public way to write in a caller's transaction, to write many values with one
statement, or to delete values that a dead worker reported. All private code of Optuna that hpo
uses is in this file, so that a new version of Optuna can break this file alone.
`tests/storage/test_optuna_tables.py` shows what breaks.
"""

import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.storages import RDBStorage, _rdb
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy.engine import URL, Connection


MIGRATIONS = Path(_rdb.__file__).parent / "alembic"
"""The folder of Optuna's own migrations."""

VERSION_TABLE = "alembic_version"
"""The table with the version of Optuna's tables."""

AnyRow: TypeAlias = sa.Row[*tuple[Any, ...]]
"""A row of a result, whose columns are read by name."""

studies: sa.Table = models.StudyModel.__table__
study_directions: sa.Table = models.StudyDirectionModel.__table__
study_user_attributes: sa.Table = models.StudyUserAttributeModel.__table__
study_system_attributes: sa.Table = models.StudySystemAttributeModel.__table__
trials: sa.Table = models.TrialModel.__table__
trial_parameters: sa.Table = models.TrialParamModel.__table__
trial_values: sa.Table = models.TrialValueModel.__table__
trial_intermediate_values: sa.Table = models.TrialIntermediateValueModel.__table__
trial_user_attributes: sa.Table = models.TrialUserAttributeModel.__table__
trial_system_attributes: sa.Table = models.TrialSystemAttributeModel.__table__
trial_heartbeats: sa.Table = models.TrialHeartbeatModel.__table__

PLANNED_PARAMETERS = "fixed_params"
"""The system attribute that holds the parameters of a trial that no sampler draws."""

FIRST_NAME = "hpo:first_name"
"""The system attribute that holds the name with which a renamed study was created."""

_PRUNER_NOTES = "completed_rung_%"
"""The system attributes that Hyperband writes, as a pattern of SQL's LIKE."""


def all_tables() -> list[sa.Table]:
    """Every table that Optuna makes."""
    return list(models.BaseModel.metadata.tables.values())


def open_storage(url: URL, engine_options: Mapping[str, Any]) -> RDBStorage:
    """Optuna's storage on tables that exist already."""
    return RDBStorage(
        _as_template(url), engine_kwargs=dict(engine_options), skip_table_creation=True
    )


def make_tables(url: URL) -> None:
    """Make Optuna's tables if they are missing, and upgrade older ones."""
    storage = RDBStorage(_as_template(url), skip_compatibility_check=True)
    if storage.get_current_version() != storage.get_head_version():
        storage.upgrade()
    storage.engine.dispose()


def _as_template(url: URL) -> str:
    """The URL as text with doubled braces, because Optuna calls `str.format` on it."""
    text = url.render_as_string(hide_password=False)
    return text.replace("{", "{{").replace("}", "}}")


@contextlib.contextmanager
def joined(storage: RDBStorage, connection: Connection) -> Iterator[None]:
    """Within the block, this thread's calls of Optuna's storage take part in the transaction.

    Optuna's commits commit nothing of their own. Its rollbacks undo the whole transaction.
    """
    storage.scoped_session.remove()
    storage.scoped_session(bind=connection, join_transaction_mode="rollback_only")
    try:
        yield
    finally:
        storage.scoped_session.remove()


def close_session(storage: RDBStorage) -> None:
    """Close the session that Optuna keeps for this thread."""
    storage.scoped_session.remove()


def insert_parameters(
    connection: Connection, trial_id: int, values: Mapping[str, tuple[Any, BaseDistribution]]
) -> None:
    """Write a trial's parameters with one statement.

    Optuna's own function takes two statements for each parameter, and SQLite has only one lock.
    """
    rows = [
        {
            "trial_id": trial_id,
            "param_name": name,
            "param_value": distribution.to_internal_repr(value),
            "distribution_json": distribution_to_json(distribution),
        }
        for name, (value, distribution) in values.items()
    ]
    connection.execute(sa.insert(trial_parameters), rows)


def write_intermediate_values(
    connection: Connection, trial_id: int, values: Mapping[int, float]
) -> None:
    """Write a trial's intermediate values by step; existing values of these steps are replaced."""
    if not values:
        return
    column = trial_intermediate_values.c
    existing = sa.delete(trial_intermediate_values).where(
        column.trial_id == trial_id, column.step.in_(list(values))
    )
    connection.execute(existing)
    to_stored = models.TrialIntermediateValueModel.intermediate_value_to_stored_repr
    stored = {step: to_stored(value) for step, value in values.items()}
    rows = [
        {
            "trial_id": trial_id,
            "step": step,
            "intermediate_value": value,
            "intermediate_value_type": kind,
        }
        for step, (value, kind) in stored.items()
    ]
    connection.execute(sa.insert(trial_intermediate_values), rows)


def delete_reports(connection: Connection, trial_id: int) -> None:
    """Delete a trial's intermediate values and the pruner's notes; the parameters stay."""
    reported, noted = trial_intermediate_values, trial_system_attributes
    connection.execute(sa.delete(reported).where(reported.c.trial_id == trial_id))
    by_pruner = (noted.c.trial_id == trial_id, noted.c.key.like(_PRUNER_NOTES))
    connection.execute(sa.delete(noted).where(*by_pruner))


def number_of(connection: Connection, trial_id: int) -> int:
    """A trial's number within its study."""
    query = sa.select(trials.c.number).where(trials.c.trial_id == trial_id)
    return int(connection.execute(query).scalar_one())


def is_finished(connection: Connection, trial_id: int) -> bool:
    """Whether a trial has ended or was deleted."""
    query = sa.select(trials.c.state).where(trials.c.trial_id == trial_id)
    state = connection.execute(query).scalar_one_or_none()
    return state is None or bool(TrialState(state).is_finished())


def trials_of(connection: Connection, study_id: int) -> list[AnyRow]:
    """A study's trials by number: number, trial_id, state, value, value_type."""
    query = (
        sa.select(
            trials.c.number,
            trials.c.trial_id,
            trials.c.state,
            trial_values.c.value,
            trial_values.c.value_type,
        )
        .outerjoin(trial_values, trial_values.c.trial_id == trials.c.trial_id)
        .where(trials.c.study_id == study_id)
        .order_by(trials.c.number)
    )
    return list(connection.execute(query).all())


def value_of(row: AnyRow) -> float | None:
    """The value in a row of `trials_of`; None if the trial has none."""
    if row.value_type is None:
        return None
    return models.TrialValueModel.stored_repr_to_value(row.value, row.value_type)


def parameter_of(row: AnyRow) -> Any:
    """The value of a parameter, from its row in `trial_parameters`."""
    return _distribution(row.distribution_json).to_external_repr(row.param_value)


@functools.lru_cache(maxsize=1000)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def delete_study(connection: Connection, study_id: int) -> None:
    """Delete all rows of a study without reading them, as they may be damaged.

    Optuna's own function reads every row and fails at a value that it does not know.
    """
    of_study = sa.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    for table in reversed(models.BaseModel.metadata.sorted_tables):
        if "study_id" in table.c:
            connection.execute(sa.delete(table).where(table.c.study_id == study_id))
        elif "trial_id" in table.c:
            connection.execute(sa.delete(table).where(table.c.trial_id.in_(of_study)))


def ids_by_number(connection: Connection, study_id: int) -> dict[int, int]:
    """The ids of a study's trials, by number."""
    query = sa.select(trials.c.number, trials.c.trial_id).where(trials.c.study_id == study_id)
    return {row.number: row.trial_id for row in connection.execute(query)}


def id_of(connection: Connection, name: str) -> int | None:
    """The id of the study of this name; None if there is none."""
    query = sa.select(studies.c.study_id).where(studies.c.study_name == name)
    return connection.execute(query).scalar_one_or_none()


def names_of(connection: Connection, study_id: int) -> tuple[str, str] | None:
    """A study's name and the name with which it was created; None if it was deleted."""
    noted = study_system_attributes.c
    query = (
        sa.select(studies.c.study_name, noted.value_json)
        .outerjoin(
            study_system_attributes,
            sa.and_(noted.study_id == studies.c.study_id, noted.key == FIRST_NAME),
        )
        .where(studies.c.study_id == study_id)
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return row.study_name, row.study_name if row.value_json is None else json.loads(row.value_json)


def ids_by_name(connection: Connection) -> dict[str, int]:
    """The ids of all studies, by name, the oldest first."""
    query = sa.select(studies.c.study_name, studies.c.study_id).order_by(studies.c.study_id)
    return {row.study_name: row.study_id for row in connection.execute(query)}


def rename(connection: Connection, study_id: int, name: str) -> None:
    """Give a study another name."""
    renamed = sa.update(studies).where(studies.c.study_id == study_id)
    connection.execute(renamed.values(study_name=name))


def first_name_note(name: str) -> dict[str, str]:
    """The columns of the system attribute that holds the name with which a study was created."""
    return {"key": FIRST_NAME, "value_json": json.dumps(name)}


def keep_first_name(connection: Connection, study_id: int, name: str) -> None:
    """Note the name with which a study was created, unless one is noted already."""
    noted = study_system_attributes
    existing = sa.select(noted.c.key).where(noted.c.study_id == study_id, noted.c.key == FIRST_NAME)
    if connection.execute(existing).first() is None:
        note = first_name_note(name) | {"study_id": study_id}
        connection.execute(sa.insert(noted).values(note))


def has_study(study_id: sa.ColumnElement[int], name: sa.ColumnElement[str]) -> sa.Exists:
    """The condition that Optuna has a study of this id and name."""
    return sa.exists().where(studies.c.study_id == study_id, studies.c.study_name == name)


def has_running_trial(
    trial_id: sa.ColumnElement[int], study_id: sa.ColumnElement[int]
) -> sa.Exists:
    """The condition that the study has the trial and that the trial runs."""
    return has_trial(trial_id, study_id).where(trials.c.state == TrialState.RUNNING)


def has_trial(trial_id: sa.ColumnElement[int], study_id: sa.ColumnElement[int]) -> sa.Exists:
    """The condition that the study has the trial, in any state."""
    return sa.exists().where(trials.c.trial_id == trial_id, trials.c.study_id == study_id)


def planned_trial(parameters: Mapping[str, Any]) -> optuna.trial.FrozenTrial:
    """A running trial whose parameters no sampler draws."""
    attributes = {PLANNED_PARAMETERS: dict(parameters)}
    return optuna.trial.create_trial(state=TrialState.RUNNING, system_attrs=attributes)
