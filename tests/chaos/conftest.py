"""What scenarios share: their size, their seed, their databases, and the table of their figures."""

import random
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.chaos.case import BACKENDS, Case
from tests.chaos.figures import PAGE, Figures
from tests.chaos.sizes import FULL, SHORT
from tests.chaos.study import Study
from tests.support.databases import fresh_database, own_server
from tests.support.servers import Server


HERE = Path(__file__).parent
FIGURES = pytest.StashKey[Figures]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("chaos", "studies under faults")
    group.addoption("--short", action="store_true", help="small studies, few faults; no page")
    group.addoption("--seed", type=int, default=0, help="of all that happens by chance")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures(config.getoption("--seed"), config.getoption("--short"))


@pytest.hookimpl(tryfirst=True)  # before `-m chaos` picks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scenarios on one database run one after another, beside those on the others."""
    if config.getoption("--short"):
        items[:] = [item for item in items if is_in_short_form(item)]
    for item in items:
        if item.path.is_relative_to(HERE):
            found = [backend for backend in BACKENDS if backend in item.name]
            item.add_marker(pytest.mark.chaos)
            item.add_marker(pytest.mark.xdist_group(found[0] if found else "sqlite"))


def is_in_short_form(item: pytest.Item) -> bool:
    """Whether the short form runs the test: without the marker `short_on`, or one of its cases."""
    marker = item.get_closest_marker("short_on")
    return marker is None or any(f"[{case}" in item.name for case in marker.args)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In a process of its own the figures go to the one that started it."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["figures"] = session.config.stash[FIGURES].as_json()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    node.config.stash[FIGURES].add_json(getattr(node, "workeroutput", {}).get("figures", "{}"))


def pytest_report_header(config: pytest.Config) -> str:
    return f"chaos: {config.stash[FIGURES].conditions()}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    figures = config.stash[FIGURES]
    if not figures.rows or hasattr(config, "workerinput"):
        return
    terminalreporter.section("figures")
    for line in figures.lines():
        terminalreporter.write_line(line)
    all_scenarios = HERE in [Path(argument).resolve() for argument in config.args]
    is_whole = all_scenarios and not config.getoption("-k") and config.getoption("-m") == "chaos"
    if is_whole and exitstatus == 0 and not figures.is_short:
        figures.write()
        terminalreporter.write_line(f"written to {PAGE}")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    """Where scenarios note what they measured."""
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def servers(figures: Figures) -> Iterator[Callable[[str], Server]]:
    """A database server of each kind that scenarios may stop and start again."""
    started: dict[str, Server] = {}

    def get(kind: str) -> Server:
        if kind not in started:
            started[kind] = own_server(kind)
            figures.versions[kind] = f"{BACKENDS[kind]} {version_of(started[kind].url)}"
        return started[kind]

    figures.versions["sqlite"] = f"SQLite {sqlite3.sqlite_version}"
    yield get
    for server in started.values():
        server.stop()


def version_of(url: sa.URL) -> str:
    """The server's version, in short."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    query = "SHOW server_version" if url.get_backend_name() == "postgresql" else "SELECT version()"
    with engine.connect() as connection:
        version: str = connection.execute(sa.text(query)).scalar_one()
    return version.split()[0].split("-")[0]


@pytest.fixture
def make_case(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    figures: Figures,
    servers: Callable[[str], Server],
) -> Iterator[Callable[[str], Case]]:
    """Makes the case of this test on a database of a kind."""
    with ExitStack() as stack:

        def make(backend: str) -> Case:
            server = None if backend == "sqlite" else servers(backend)
            url = f"sqlite:///{tmp_path / 'hpo.db'}"
            if server is not None:
                url = stack.enter_context(fresh_database(server.url))
            size = SHORT if figures.is_short else FULL
            rng = random.Random(f"{figures.seed} {request.node.name}")
            return Case(backend, Study(url, tmp_path, size), server, rng, figures)

        yield make


@pytest.fixture(params=[*BACKENDS])
def case(request: pytest.FixtureRequest, make_case: Callable[[str], Case]) -> Case:
    """A case on each kind of database."""
    return make_case(request.param)


@pytest.fixture(params=["postgresql", "mysql"])
def server_case(request: pytest.FixtureRequest, make_case: Callable[[str], Case]) -> Case:
    """A case on each kind of database that has a server."""
    return make_case(request.param)


@pytest.fixture
def sqlite_case(make_case: Callable[[str], Case]) -> Case:
    """A case on SQLite alone."""
    return make_case("sqlite")
