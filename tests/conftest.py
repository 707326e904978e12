"""What tests share: a fresh database on each backend."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.bad_input import example, workplace
from tests.support.databases import (
    close_servers_folder,
    fresh_database,
    open_servers_folder,
    own_server,
    server_url,
)
from tests.support.servers import Server


if TYPE_CHECKING:
    from storage.engine import Database


__all__ = ["example", "workplace"]

# Several test processes share the cores; torch, not yet imported, would take all of them for each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Studies with modules of the tests' own are recorded here, not in the developer's trust file.
os.environ["HPO_CONFIG_DIR"] = CONFIG = tempfile.mkdtemp(prefix="hpo-config-")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the process that the workers of xdist come from
        open_servers_folder()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(CONFIG, ignore_errors=True)
    if not hasattr(config, "workerinput"):
        close_servers_folder()


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HPO_STORAGE", "HPO_TRUST"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file that is not there yet."""
    return f"sqlite:///{tmp_path / 'hpo.db'}"


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    with fresh_database(server_url("postgresql")) as url:
        yield url


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """The URL of an empty MariaDB or MySQL database of the test's own."""
    with fresh_database(server_url("mysql")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own, once for each backend."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=["postgresql", "mysql"])
def own_database_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server that the test may stop and start again, once for each kind."""
    server = own_server(request.param)
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mysql"])
def db(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> "Iterator[Database]":
    """An open database that the tests of a module share, each with studies of its own."""
    from tests.support.storage_checks import (
        shared_database,  # loads Optuna, which not every test needs
    )

    with shared_database(request.param, tmp_path_factory.mktemp("db")) as database:
        yield database


@pytest.fixture(scope="module")
def sqlite_db(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Database]":
    """The same on SQLite alone, for what does not depend on the database."""
    from tests.support.storage_checks import shared_database

    with shared_database("sqlite", tmp_path_factory.mktemp("db")) as database:
        yield database
