"""Making and upgrading the tables, under a lock that all processes share.

Optuna makes its own tables. Alembic makes hpo's tables, with a separate version table.

Two processes that open an empty database at the same time would both make the tables. The lock
prevents that: an advisory lock of the database server, or a file beside an SQLite database.
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
"""The table with the version of hpo's tables."""

MIGRATIONS = Path(__file__).parent / "migrations"
"""The folder of hpo's migrations."""


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The version of one set of tables in a database.

    package: the package that makes the tables: `hpo` or `Optuna`.
    version: the version in the database; None if there are no tables.
    needed: the version that this program needs.
    known: all versions that this program knows.
    """

    package: str
    version: str | None
    needed: str
    known: frozenset[str]

    @property
    def is_newer(self) -> bool:
        """Whether a newer program made the tables."""
        return self.version is not None and self.version not in self.known

    @property
    def problem(self) -> str | None:
        """What is wrong with the version and what to do; None if the version is right."""
        if self.version == self.needed:
            return None
        age = "newer" if self.is_newer else "older"
        remedy = (
            f"install the newer {self.package}" if self.is_newer else "run: hpo storage upgrade"
        )
        return (
            f"the tables of {self.package} are at version {self.version or 'none'}, {age} than "
            f"this program, which needs {self.needed}; {remedy}"
        )

    @property
    def upgrade_path(self) -> str:
        """The versions before and after an upgrade, in words."""
        if self.version == self.needed:
            return f"at version {self.needed} already"
        return f"from version {self.version or 'none'} to {self.needed}"

    def check(self, name: str) -> None:
        """Check that the tables of the database `name` have the version that this program needs.

        Raises:
            OutdatedError: the tables are older or newer.
        """
        if self.problem is not None:
            raise OutdatedError(f"cannot use the database {name}: {self.problem}")


def prepare(engine: sa.Engine, name: str, *, create: bool) -> None:
    """Check the tables of the database `name`; with `create` make them first if they are missing.

    Raises:
        EmptyStorageError: the database has no tables and `create` is not set.
        OutdatedError: the tables are older or newer than this program.
        StorageError: another program has a table with the name of one of Optuna's.
    """
    if create and current_tables(engine)[0].version is None:
        _create(engine, name)
    hpos, optunas = current_tables(engine)
    check_exists(hpos, name)
    for tables in (hpos, optunas):
        tables.check(name)


def _create(engine: sa.Engine, name: str) -> None:
    """Create the tables if they are still missing when this process gets the lock."""
    with backend_of(engine).schema_lock(engine):
        hpos, optunas = current_tables(engine)
        if hpos.version is not None:
            return
        if optunas.version is None:
            _check_names_are_free(engine, name)
        else:  # another program uses these tables, so hpo does not upgrade them unasked
            optunas.check(name)
        _upgrade_all(engine)


def upgrade(engine: sa.Engine, name: str) -> tuple[Tables, Tables]:
    """Upgrade hpo's and Optuna's tables to the versions of this program; the versions before.

    Raises:
        EmptyStorageError: the database has no tables.
        OutdatedError: the tables are newer than this program.
    """
    hpos, optunas = current_tables(engine)
    check_exists(hpos if optunas.version is None else optunas, name)
    with backend_of(engine).schema_lock(engine):
        hpos, optunas = current_tables(engine)
        for tables in (hpos, optunas):
            if tables.is_newer:
                tables.check(name)
        _upgrade_all(engine)
    return hpos, optunas


def current_tables(engine: sa.Engine) -> tuple[Tables, Tables]:
    """The versions of hpo's and of Optuna's tables; writes nothing."""
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
    """The latest version in a folder of migrations, and all versions."""
    scripts = ScriptDirectory(folder)
    return str(scripts.get_current_head()), frozenset(
        script.revision for script in scripts.walk_revisions()
    )


def _check_names_are_free(engine: sa.Engine, name: str) -> None:
    """Check that no table of another program has the name of one of Optuna's.

    Raises:
        StorageError: another program has such a table; nothing was written.
    """
    inspector = sa.inspect(engine)
    existing = set(inspector.get_table_names())
    for table in optuna_tables.all_tables():
        if table.name not in existing:
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        if not columns >= set(table.columns.keys()):
            raise StorageError(
                f"cannot use the database {name}: its table {table.name} belongs to another "
                "program; use a separate database for hpo"
            )


def check_exists(tables: Tables, name: str) -> None:
    """Check that the database `name` has these tables.

    Raises:
        EmptyStorageError: the database does not have these tables.
    """
    if tables.version is None:
        raise EmptyStorageError(f"no studies in {name} yet; create one with: hpo study create")


def _upgrade_all(engine: sa.Engine) -> None:
    """Make the missing tables and upgrade the older ones, of both sets."""
    with _logging_kept():
        optuna_tables.make_tables(engine.url)
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextlib.contextmanager
def _logging_kept() -> Iterator[None]:
    """Keep this process's logging: Optuna's migrations set up logging if no handler is there."""
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
