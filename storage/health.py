"""What can be asked of a database, and done to it, whatever the version of its tables."""

from dataclasses import dataclass

import sqlalchemy as sa

from storage import schema
from storage.engine import Unopened
from storage.errors import UnreachableError
from storage.schema import Tables
from storage.tables import hpo_studies


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a database is; `refusal` says why nothing can be written there.

    `path` is an SQLite database's file.
    """

    name: str
    server: str
    tables: tuple[Tables, Tables]
    refusal: str | None
    path: str | None


def upgrade(url: str) -> tuple[Tables, Tables]:
    """Bring hpo's and Optuna's tables to the versions of this program; gives how they stood.

    Raises:
        EmptyStorageError: there are none.
        OutdatedError: they are newer than this program.
        StorageError: the database cannot be used.
    """
    db = Unopened(url)
    with db.errors_translated():
        return schema.upgrade(db.engine, db.name)


def examine(url: str) -> Health:
    """Look at a database; changes nothing.

    Raises:
        EmptyStorageError: it holds no tables of ours.
        StorageError: it does not answer, or there is none.
    """
    db = Unopened(url)
    with db.errors_translated():
        tables = schema.look(db.engine)
        schema.check_there(tables[0], db.name)
    return Health(
        name=db.name,
        server=_server(db),
        tables=tables,
        refusal=_refusal(db),
        path=db.url.database if db.engine.name == "sqlite" else None,
    )


def _server(db: Unopened) -> str:
    with db.reading() as connection:
        dialect = connection.dialect
    is_mariadb = getattr(dialect, "is_mariadb", False)
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MySQL"}
    number = ".".join(map(str, dialect.server_version_info or ()))
    return f"{'MariaDB' if is_mariadb else names[db.engine.name]} {number}"


def _refusal(db: Unopened) -> str | None:
    """Why the database does not let us write, asked by a change of no row that is undone."""
    nothing = sa.update(hpo_studies).where(sa.false()).values(n_started=hpo_studies.c.n_started)
    try:
        with db.reading() as connection:
            connection.execute(nothing)
    except UnreachableError as error:
        return str(error)
    return None


def damage(db: Unopened) -> list[str]:
    """What SQLite finds wrong with its own file, a line each."""
    try:
        with db.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    except UnreachableError as error:
        return [str(error)]
    return [] if found == ["ok"] else [str(line) for line in found]
