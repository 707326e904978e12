"""What can be asked of a database, and done to it, whatever the version of its tables."""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from storage import schema
from storage.engine import Unopened
from storage.errors import UnreachableError
from storage.schema import Tables
from storage.tables import hpo_studies


@dataclass(frozen=True, kw_only=True)
class Health:
    """How a database is; `refusal` says why nothing can be written there.

    `file` holds the database; None for a server.
    """

    name: str
    server: str
    tables: tuple[Tables, Tables]
    refusal: str | None
    file: Path | None


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
        file=db.backend.file(db.url),
    )


def _server(db: Unopened) -> str:
    with db.reading() as connection:
        dialect = connection.dialect
    number = ".".join(map(str, dialect.server_version_info or ()))
    return f"{db.backend.server_name(dialect)} {number}"


def _refusal(db: Unopened) -> str | None:
    """Why the database does not let us write, asked by a change of no row that is undone."""
    nothing = sa.update(hpo_studies).where(sa.false()).values(n_started=hpo_studies.c.n_started)
    try:
        with db.reading() as connection:
            connection.execute(nothing)
    except UnreachableError as error:
        return str(error)
    return None


def damage(db: Unopened) -> list[str] | None:
    """What the database finds wrong with its own file, a line each; None if it has no check."""
    try:
        with db.reading() as connection:
            return db.backend.damage(connection)
    except UnreachableError as error:
        return [str(error)]
