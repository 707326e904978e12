"""Making and upgrading the tables, under a lock that all processes share.

Optuna's tables are made by Optuna, ours by Alembic with a version table of their own. Creating
them is racy in itself (two processes that open an empty database together both try), hence the
lock: the database's own advisory lock, or a file beside an SQLite database.
"""

import contextlib
import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from storage import optuna_tables
from storage.backends import backend_of
from storage.errors import EmptyStorageError, OutdatedError, StorageError


VERSION_TABLE = "hpo_alembic_version"
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True, kw_only=True)
class Tables:
    """One set of tables as it stands: hpo's or Optuna's.

    `version` is None where there are none; `known` are the versions that this program knows, of
    which it needs `needed`.
    """

    package: str
    version: str | None
    needed: str
    known: frozenset[str]

    @property
    def is_newer(self) -> bool:
        """Whether a newer program made them."""
        return self.version is not None and self.version not in self.known

    @property
    def complaint(self) -> str | None:
        """What is wrong with them and what mends it; None where they are as they should be."""
        if self.version == self.needed:
            return None
        age = "newer" if self.is_newer else "older"
        mend = f"install the newer {self.package}" if self.is_newer else "run: hpo storage upgrade"
        return (
            f"the tables of {self.package} are at version {self.version or 'none'}, {age} than "
            f"this program, which needs {self.needed}; {mend}"
        )

    @property
    def way(self) -> str:
        """From which version to which an upgrade brings them."""
        if self.version == self.needed:
            return f"at version {self.needed} already"
        return f"from version {self.version or 'none'} to {self.needed}"

    def check(self, name: str) -> None:
        """See that they are of the version that this program needs.

        Raises:
            OutdatedError: they are older or newer.
        """
        if self.complaint is not None:
            raise OutdatedError(f"cannot use the database {name}: {self.complaint}")


def prepare(engine: sa.Engine, name: str, *, create: bool) -> None:
    """See that the tables are there and are those of this program.

    Raises:
        EmptyStorageError: there are none and `create` is not set.
        OutdatedError: they are older or newer than this program.
        StorageError: tables of another program have their names.
    """
    ours, optunas = look(engine)
    if ours.version is None and create:
        with backend_of(engine).schema_lock(engine):
            ours, optunas = look(engine)
            if ours.version is None:
                if optunas.version is None:
                    _check_room(engine, name)
                else:  # another program's: not ours to upgrade unasked
                    optunas.check(name)
                _bring_up(engine)
        ours, optunas = look(engine)
    check_there(ours, name)
    for tables in (ours, optunas):
        tables.check(name)


def upgrade(engine: sa.Engine, name: str) -> tuple[Tables, Tables]:
    """Bring hpo's and Optuna's tables to the versions of this program; gives how they stood.

    Raises:
        EmptyStorageError: there are none.
        OutdatedError: they are newer than this program.
    """
    ours, optunas = look(engine)
    check_there(ours if optunas.version is None else optunas, name)
    with backend_of(engine).schema_lock(engine):
        ours, optunas = look(engine)
        for tables in (ours, optunas):
            if tables.is_newer:
                tables.check(name)
        _bring_up(engine)
    return ours, optunas


def look(engine: sa.Engine) -> tuple[Tables, Tables]:
    """How hpo's tables and Optuna's stand; reads alone."""
    with engine.connect() as connection:
        return (
            _tables("hpo", connection, VERSION_TABLE, str(MIGRATIONS)),
            _tables(
                "Optuna", connection, optuna_tables.VERSION_TABLE, str(optuna_tables.MIGRATIONS)
            ),
        )


def _tables(package: str, connection: sa.Connection, version_table: str, folder: str) -> Tables:
    context = MigrationContext.configure(connection, opts={"version_table": version_table})
    needed, known = _versions(folder)
    version = context.get_current_revision()
    return Tables(package=package, version=version, needed=needed, known=known)


@functools.cache
def _versions(folder: str) -> tuple[str, frozenset[str]]:
    """The last of a folder's migrations, and all of them."""
    scripts = ScriptDirectory(folder)
    return str(scripts.get_current_head()), frozenset(
        script.revision for script in scripts.walk_revisions()
    )


def _check_room(engine: sa.Engine, name: str) -> None:
    """See that no table of another program stands where one of Optuna's is to be.

    Raises:
        StorageError: one does; nothing was written.
    """
    inspector = sa.inspect(engine)
    there = set(inspector.get_table_names())
    for table in optuna_tables.all_tables():
        if table.name not in there:
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        if not columns >= set(table.columns.keys()):
            raise StorageError(
                f"cannot use the database {name}: its table {table.name} is another program's; "
                "give hpo a database of its own"
            )


def check_there(tables: Tables, name: str) -> None:
    """See that there are such tables.

    Raises:
        EmptyStorageError: there are none.
    """
    if tables.version is None:
        raise EmptyStorageError(f"no studies in {name} yet; hpo study create makes the first")


def _bring_up(engine: sa.Engine) -> None:
    """Make the tables that are missing, upgrade those that are older."""
    with _logging_kept():
        optuna_tables.make_tables(engine.url)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Optuna's migrations set up the logging of a process that has none: not of ours."""
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config
