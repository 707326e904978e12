"""A fresh, empty database for a test, on whichever server is at hand.

A server is, in this order: the one that HPO_TEST_POSTGRES_URL or HPO_TEST_MYSQL_URL names; one
that the tests start, once, for all of their processes (see `servers`); none, and the test is
skipped.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from filelock import FileLock

from tests.support.servers import SERVERS, Server


URL_VARIABLES = {"postgresql": "HPO_TEST_POSTGRES_URL", "mysql": "HPO_TEST_MYSQL_URL"}
FOLDER_VARIABLE = "HPO_TEST_SERVERS"


def open_servers_folder() -> None:
    """Make the folder that the servers of this run live in, and tell it to the other processes."""
    folder = tempfile.mkdtemp(prefix="hpo-tests-")
    Path(folder).chmod(0o711)  # a server that gave up root's rights has to pass through
    os.environ[FOLDER_VARIABLE] = folder


def close_servers_folder() -> None:
    """Stop every server that a process of this run started, and remove the folder."""
    folder = Path(os.environ.pop(FOLDER_VARIABLE))
    for kind, server in SERVERS.items():
        for home in folder.glob(f"{kind}-*"):
            server(home).stop()
    shutil.rmtree(folder)


def server_url(kind: str) -> sa.URL:
    """The address of a server of this kind; skips the test where there can be none."""
    named = os.environ.get(URL_VARIABLES[kind])
    if named:
        return sa.make_url(named).set(drivername=SERVERS[kind].drivername)
    folder = Path(os.environ[FOLDER_VARIABLE])
    with FileLock(folder / f"{kind}.lock"):
        note = folder / f"{kind}.url"
        if not note.exists():
            _skip_without(kind, f"set {URL_VARIABLES[kind]}, or install")
            server = own_server(kind)
            note.write_text(server.url.render_as_string(hide_password=False))
        return sa.make_url(note.read_text())


def own_server(kind: str) -> Server:
    """A new server that only the caller knows; skips the test where it is not installed."""
    _skip_without(kind, "this needs a server that it may stop: install")
    home = tempfile.mkdtemp(prefix=f"{kind}-", dir=os.environ[FOLDER_VARIABLE])
    server = SERVERS[kind](Path(home))
    server.initialize()
    server.start()
    return server


def _skip_without(kind: str, what_to_do: str) -> None:
    if missing := SERVERS[kind].missing():
        pytest.skip(f"{kind}: {what_to_do} {' and '.join(missing)}")


@contextlib.contextmanager
def fresh_database(server: sa.URL) -> Iterator[str]:
    """The URL of a new database on this server, which is dropped at the end, whoever uses it."""
    name = f"hpo_test_{secrets.token_hex(6)}"
    engine = sa.create_engine(server, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    drop = _drop_postgresql if server.get_backend_name() == "postgresql" else _drop_mysql
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield server.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            drop(connection, name)


class WaitedError(Exception):
    """A database is waited for."""


def leave(seconds: float) -> None:
    """In place of waiting.

    Raises:
        WaitedError: always.
    """
    raise WaitedError


@contextlib.contextmanager
def user_with(password: str, url: str) -> Iterator[str]:
    """The URL of this database by a new user with that password, who is dropped at the end."""
    user, quoted = f"hpo_{secrets.token_hex(4)}", password.replace("%", "%%")
    if sa.make_url(url).get_backend_name() == "postgresql":
        create = [f"CREATE ROLE {user} LOGIN SUPERUSER PASSWORD '{quoted}'"]
        drop = [f"REASSIGN OWNED BY {user} TO CURRENT_USER", f"DROP ROLE {user}"]
    else:
        create = [f"CREATE USER {user} IDENTIFIED BY '{quoted}'", f"GRANT ALL ON *.* TO {user}"]
        drop = [f"DROP USER {user}"]
    _execute(url, create)
    try:
        yield sa.make_url(url).set(username=user, password=password).render_as_string(False)
    finally:
        _execute(url, drop)


def _execute(url: str, statements: list[str]) -> None:
    with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, ())


def _drop_postgresql(connection: sa.Connection, name: str) -> None:
    connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))


def _drop_mysql(connection: sa.Connection, name: str) -> None:
    """Drop a database after its clients: a transaction that one left open would hold the tables."""
    clients = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
    for (client,) in connection.execute(clients, {"name": name}).all():
        with contextlib.suppress(sa.exc.OperationalError):  # it went by itself
            connection.execute(sa.text(f"KILL {client}"))
    connection.execute(sa.text(f"DROP DATABASE {name}"))
