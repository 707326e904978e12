"""Examining and upgrading a database whose tables may have any version."""

from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from storage import schema
from storage.engine import UncheckedDatabase
from storage.errors import UnreachableError
from storage.schema import Tables
from storage.tables import hpo_studies


@dataclass(frozen=True, kw_only=True)
class Health:
    """The condition of a database.

    name: the URL without the password.
    server: the product and its version.
    tables: the versions of hpo's and Optuna's tables.
    refusal: why the database cannot be written to; None if it can.
    file: the file that holds the database; None for a server.
    is_read_only: whether that file cannot be written to by this process.
    """

    name: str
    server: str
    tables: tuple[Tables, Tables]
    refusal: str | None
    file: Path | None
    is_read_only: bool


def upgrade(url: str) -> tuple[Tables, Tables]:
    """Upgrade hpo's and Optuna's tables to the versions of this program; the versions before.

    Raises:
        EmptyStorageError: the database has no tables.
        OutdatedError: the tables are newer than this program.
        ReadOnlyError: the database is a file that this process cannot write to.
        StorageError: the database cannot be used.
    """
    db = UncheckedDatabase(url)
    db.check_writable()
    with db.errors_translated():
        return schema.upgrade(db.engine, db.name)


def examine(url: str) -> Health:
    """Examine a database without changing it.

    Raises:
        EmptyStorageError: the database has no tables of hpo.
        StorageError: the database does not exist or does not answer.
    """
    db = UncheckedDatabase(url)
    with db.errors_translated():
        tables = schema.current_tables(db.engine)
        schema.check_exists(tables[0], db.name)
    return Health(
        name=db.name,
        server=_server(db),
        tables=tables,
        refusal=None if db.is_read_only else _refusal(db),
        file=db.backend.file(db.url),
        is_read_only=db.is_read_only,
    )


def _server(db: UncheckedDatabase) -> str:
    with db.reading() as connection:
        dialect = connection.dialect
    number = ".".join(map(str, dialect.server_version_info or ()))
    return f"{db.backend.server_name(dialect)} {number}"


def _refusal(db: UncheckedDatabase) -> str | None:
    """The reason why the database refuses writes; None if it accepts them.

    The test is an update that matches no row.
    """
    no_change = sa.update(hpo_studies).where(sa.false()).values(n_started=hpo_studies.c.n_started)
    try:
        with db.reading() as connection:
            connection.execute(no_change)
    except UnreachableError as error:
        return str(error)
    return None


def damage(db: UncheckedDatabase) -> list[str] | None:
    """The damage that the database finds in its file, one text per problem.

    None if this kind of database cannot check its file.
    """
    try:
        with db.reading() as connection:
            return db.backend.damage(connection)
    except UnreachableError as error:
        return [str(error)]
