"""All rows of a study as they are in the database, for the audit.

The values are read without SQLAlchemy's types, which raise an error for a value of a wrong type.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from storage import optuna_tables
from storage.engine import Database
from storage.errors import StudyMissingError
from storage.tables import IN_OPTUNA, AnyRow, clock, hpo_claims, hpo_studies, hpo_trainings


@dataclass(frozen=True, kw_only=True)
class StudyRows:
    """The rows of one study.

    now: the database's time, in seconds since 1970.
    directions: Optuna's rows of the study's directions.
    optuna_trials: Optuna's rows of the trials.
    values, parameters, intermediate_values, planned: Optuna's rows by the id of the trial.
    work: the trials and test runs in the order in which they were first claimed.
    trainings: the trainings by the id of the claim.
    """

    study: AnyRow
    now: float
    directions: list[AnyRow]
    optuna_trials: list[AnyRow]
    values: Mapping[int, list[AnyRow]]
    parameters: Mapping[int, list[AnyRow]]
    intermediate_values: Mapping[int, list[AnyRow]]
    planned: Mapping[int, list[AnyRow]]
    work: list[AnyRow]
    trainings: Mapping[int, list[AnyRow]]

    @cached_property
    def trials(self) -> list[AnyRow]:
        """The rows of trials."""
        return [row for row in self.work if row.kind == "trial"]

    @cached_property
    def test_runs(self) -> list[AnyRow]:
        """The rows of test runs."""
        return [row for row in self.work if row.kind == "test"]

    @cached_property
    def complete(self) -> dict[int, AnyRow]:
        """The complete trials by number."""
        return {row.trial: row for row in self.trials if row.state == "complete"}

    @cached_property
    def optuna_trial(self) -> dict[int, AnyRow]:
        """Optuna's rows of the trials by number."""
        return {row.number: row for row in self.optuna_trials}

    @property
    def is_searching(self) -> bool:
        """Whether a trial has no outcome yet."""
        is_live = any(row.state == "live" for row in self.trials)
        return is_live or self.study.n_started < self.study.n_trials


@contextlib.contextmanager
def snapshot(db: Database) -> Iterator[sa.Connection]:
    """A connection that sees the database as it is at the first query."""
    with db.reading() as connection:
        db.backend.begin_snapshot(connection)
        yield connection


def read(connection: sa.Connection, study_id: int) -> StudyRows:
    """All rows of the study.

    Raises:
        StudyMissingError: the study was deleted.
    """
    of_study = sa.select(*_raw(hpo_studies)).where(hpo_studies.c.study_id == study_id, IN_OPTUNA)
    study = connection.execute(of_study).first()
    if study is None:
        raise StudyMissingError("the study was deleted")
    directions, trials = optuna_tables.study_directions, optuna_tables.trials
    attributes = optuna_tables.trial_system_attributes
    is_planned = attributes.c.key == optuna_tables.PLANNED_PARAMETERS

    def of_trials(table: sa.Table, *conditions: sa.ColumnElement[bool]) -> dict[int, list[AnyRow]]:
        is_trial = table.c.trial_id == trials.c.trial_id
        query = sa.select(*_raw(table)).join(trials, is_trial)
        query = query.where(trials.c.study_id == study_id, *conditions)
        return _by("trial_id", connection.execute(query.order_by(*table.primary_key)))

    return StudyRows(
        study=study,
        now=float(connection.execute(sa.select(clock())).scalar_one()),
        directions=_all(connection, directions, directions.c.study_id == study_id),
        optuna_trials=_all(connection, trials, trials.c.study_id == study_id),
        values=of_trials(optuna_tables.trial_values),
        parameters=of_trials(optuna_tables.trial_parameters),
        intermediate_values=of_trials(optuna_tables.trial_intermediate_values),
        planned=of_trials(attributes, is_planned),
        work=_work(connection, study_id),
        trainings=_trainings(connection, study_id),
    )


def _raw(table: sa.Table) -> list[sa.ColumnElement[Any]]:
    """The table's columns without SQLAlchemy's types."""
    return [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in table.c]


def _all(
    connection: sa.Connection, table: sa.Table, condition: sa.ColumnElement[bool]
) -> list[AnyRow]:
    query = sa.select(*_raw(table)).where(condition).order_by(*table.primary_key)
    return list(connection.execute(query))


def _work(connection: sa.Connection, study_id: int) -> list[AnyRow]:
    """The study's work with the time of creation of the study, which is part of the digests."""
    created_at = sa.type_coerce(hpo_studies.c.created_at, sa.types.NullType())
    query = (
        sa.select(*_raw(hpo_claims), created_at.label("created_at"))
        .join(hpo_studies, hpo_studies.c.study_id == hpo_claims.c.study_id)
        .where(hpo_claims.c.study_id == study_id)
        .order_by(hpo_claims.c.id)
    )
    return list(connection.execute(query))


def _trainings(connection: sa.Connection, study_id: int) -> dict[int, list[AnyRow]]:
    query = (
        sa.select(*_raw(hpo_trainings))
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
        .order_by(hpo_trainings.c.id)
    )
    return _by("claim_id", connection.execute(query))


def _by(column: str, rows: Iterable[AnyRow]) -> dict[int, list[AnyRow]]:
    grouped: dict[int, list[AnyRow]] = defaultdict(list)
    for row in rows:
        grouped[getattr(row, column)].append(row)
    return dict(grouped)
