"""The rows and versions of the tables in a database, read and changed behind hpo's back."""

from typing import Any

import sqlalchemy as sa

from tests.storage.test_schema import plain_engine


OURS, OPTUNAS = "hpo_alembic_version", "alembic_version"
"""The tables that hold the versions of hpo's and Optuna's tables."""

ADDED = {"is_paused", "digest"}
"""The columns that migrations added."""


def execute(url: str, *statements: str) -> None:
    with plain_engine(url).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def version(url: str, table: str) -> str:
    with plain_engine(url).connect() as connection:
        return str(connection.exec_driver_sql(f"SELECT version_num FROM {table}").scalar_one())  # noqa: S608


def set_version(url: str, table: str, number: str) -> None:
    execute(url, f"UPDATE {table} SET version_num = '{number}'")  # noqa: S608


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but for versions and what the migrations added."""
    tables = sa.MetaData()
    engine = plain_engine(url)
    tables.reflect(engine)
    versions = {OURS, OPTUNAS, "version_info"}
    with engine.connect() as connection:
        return {
            table.name: [
                {key: value for key, value in row._mapping.items() if key not in ADDED}
                for row in connection.execute(sa.select(table).order_by(*table.primary_key))
            ]
            for table in tables.sorted_tables
            if table.name not in versions
        }
