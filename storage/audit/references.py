"""Rows that refer to a row that does not exist."""

from collections.abc import Iterator

import sqlalchemy as sa

from storage import optuna_tables
from storage.engine import Database
from storage.tables import hpo_claims, hpo_studies, hpo_trainings


def dangling(db: Database) -> list[str]:
    """The tables with rows whose study, trial or work does not exist, one line each."""
    with db.reading() as connection:
        return [
            f"{n} rows of {column.table.name} refer to a {column.name} that does not exist"
            for column, owner in _references()
            if (n := _count(connection, column, owner))
        ]


def _references() -> Iterator[tuple[sa.Column[int], sa.Column[int]]]:
    """Each column with ids of another table's rows, and the column of that table."""
    yield hpo_claims.c.study_id, hpo_studies.c.study_id
    yield hpo_trainings.c.claim_id, hpo_claims.c.id
    owners = (optuna_tables.trials.c.trial_id, optuna_tables.studies.c.study_id)
    for table in optuna_tables.all_tables():
        for owner in owners:
            if owner.name in table.c and table is not owner.table:
                yield table.c[owner.name], owner


def _count(connection: sa.Connection, column: sa.Column[int], owner: sa.Column[int]) -> int:
    has_owner = sa.exists().where(owner == column)
    query = sa.select(sa.func.count()).select_from(column.table).where(~has_owner)
    return connection.execute(query).scalar_one()
