"""Making the tables, once, under a lock that all processes share.

Optuna's tables are made by Optuna, ours by Alembic with a version table of their own. Creating
them is racy in itself (two processes that open an empty database together both try), hence the
lock: the database's own advisory lock, or a file beside an SQLite database.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock, Timeout

from storage.errors import EmptyStorageError, OutdatedError, UnreachableError


VERSION_TABLE = "hpo_alembic_version"
LOCK_TIMEOUT_S = 60
_LOCK = "hpo schema"
BUSY = f"another process has been making the tables for over {LOCK_TIMEOUT_S} s; try again"


def prepare(engine: sa.Engine, name: str, *, create: bool) -> None:
    """See that the tables are there and are those of this program.

    Raises:
        EmptyStorageError: there are none and `create` is not set.
        OutdatedError: they are older or newer than this program.
    """
    version = current_version(engine)
    if version is None and create:
        with _lock(engine):
            if current_version(engine) is None:
                _create(engine)
        version = current_version(engine)
    if version is None:
        raise EmptyStorageError(f"no studies in {name} yet; hpo study create makes the first")
    if version != head_version():
        raise OutdatedError(
            f"the tables in {name} are at version {version}, this program needs {head_version()}; "
            "use the version of hpo that made them"
        )


def current_version(engine: sa.Engine) -> str | None:
    """The version of our tables in the database; None where there are none."""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return context.get_current_revision()


def head_version() -> str:
    """The version of our tables that this program is made for."""
    return str(ScriptDirectory.from_config(_config()).get_current_head())


def _create(engine: sa.Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    optuna.storages.RDBStorage(url.replace("{", "{{").replace("}", "}}")).engine.dispose()
    config = _config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@contextlib.contextmanager
def _lock(engine: sa.Engine) -> Iterator[None]:
    """One process at a time, whichever machine it runs on."""
    if engine.name == "sqlite":
        with _file_lock(f"{engine.url.database}.lock"):
            yield
        return
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_lock(hashtext(:name))"), {"name": _LOCK})
        else:
            lock = {"name": _LOCK, "timeout_s": LOCK_TIMEOUT_S}
            if (
                connection.execute(sa.text("SELECT GET_LOCK(:name, :timeout_s)"), lock).scalar()
                != 1
            ):
                raise UnreachableError(BUSY)
        yield  # closing the connection gives the lock back


@contextlib.contextmanager
def _file_lock(path: str) -> Iterator[None]:
    lock = FileLock(path, timeout=LOCK_TIMEOUT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise UnreachableError(BUSY) from error
    except OSError as error:
        raise UnreachableError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
