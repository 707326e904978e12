"""A database that goes away while workers work: they wait for it, and nothing is lost."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from storage.backends import Backend, postgresql
from storage.engine import Database
from storage.errors import StorageError, UnreachableError
from storage.retry import is_passing
from tests.support.commands import TIMEOUT_S, clean_environment, wait_until, worker
from tests.support.databases import WaitedError, fresh_database, leave, own_server
from tests.support.frozen_servers import asked, clients, front, standing_still
from tests.support.servers import Server, free_port
from tests.support.tiny_studies import must, tiny_flags, write_recipe


LEASE_S = 3


@pytest.fixture(scope="module")
def server_of_the_module() -> Iterator[Server]:
    """A server that these tests alone use; the other databases go through it in tests/chaos."""
    server = own_server("postgresql")
    yield server
    server.stop()


@pytest.fixture
def own_database_server(server_of_the_module: Server) -> Iterator[Server]:
    """A server that the test may stop, or make stand still; it runs again for the next test."""
    yield server_of_the_module
    if not server_of_the_module.is_running:
        server_of_the_module.start()


@pytest.fixture
def storage(
    own_database_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A study longer than progress is told apart (2 s), on a server that the test may stop."""
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path)
    with fresh_database(own_database_server.url) as url:
        monkeypatch.setenv("HPO_STORAGE", url)
        long = {"trials": 8, "epochs": 240, "pruner": "none", "lease": LEASE_S}
        create = ["study", "create", "--architecture", "siamese", "--name", "tiny"]
        must(*create, "--space", recipe, *tiny_flags(**long))
        yield url
        if not own_database_server.is_running:
            own_database_server.start()  # the database is to be dropped


@pytest.fixture
def database(own_database_server: Server) -> Iterator[str]:
    """An empty database on a server that the test may stop, or make stand still."""
    with fresh_database(own_database_server.url) as url:
        yield url


def events(log: Path) -> list[dict[str, Any]]:
    """What the workers have told so far; a line that is being written is left out."""
    return [json.loads(line) for line in log.read_text().splitlines(keepends=True) if "\n" in line]


def count(log: Path) -> Counter[str]:
    return Counter(event["event"] for event in events(log))


def health(port: int) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_worker_waits_for_a_database_and_loses_nothing(
    storage: str, own_database_server: Server, tmp_path: Path
) -> None:
    log, port = tmp_path / "log", free_port()
    flags = ["--study", "tiny", "--processes", "1", "--log-format", "json"]
    with worker(
        *flags, "--metrics-port", str(port), log=log, env={"HPO_STORAGE": storage}
    ) as process:
        wait_until(lambda: count(log)["finished"] > 0)
        assert health(port) == (200, {"healthy": True, "storage": "answers"})
        own_database_server.stop()
        wait_until(lambda: count(log)["storage_away"] > 0)
        code, told = health(port)
        assert (code, told["healthy"]) == (503, False)
        wait_until_lease_is_over()
        own_database_server.start()
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    told_once = count(log)
    assert (told_once["storage_away"], told_once["storage_back"]) == (1, 1)
    assert told_once["lease_lost"] == 0
    trials = json.loads(must("study", "trials", "tiny", "--json"))
    assert [trial["n_attempts"] for trial in trials] == [1] * 8
    assert {trial["state"] for trial in trials} == {"complete"}


def wait_until_lease_is_over() -> None:
    """A lease may well run out while the database is away: it is its holder's all the same."""
    threading.Event().wait(LEASE_S + 1)


def check_gave_up(code: int | None, log: Path) -> None:
    """Check that a worker waited for the database, said so once, and left with its code."""
    assert code == 4
    lines = log.read_text().splitlines()
    assert lines[-1].startswith("error: cannot use the database ")
    assert sum(line.startswith("warning: ") for line in lines) == 1
    assert not any("Traceback" in line for line in lines)


@pytest.mark.short_on
@pytest.mark.chaos
@pytest.mark.parametrize("n_processes", ["1", "2"])
def test_a_database_that_stays_away_ends_a_worker(
    storage: str, own_database_server: Server, tmp_path: Path, n_processes: str
) -> None:
    log = tmp_path / "log"
    flags = ["--study", "tiny", "--processes", n_processes, "--storage-timeout", "3"]
    with worker(*flags, log=log, env={"HPO_STORAGE": storage}) as process:
        wait_until(lambda: re.search("[1-7] of 8 trials", log.read_text()) is not None)
        own_database_server.stop()
        process.communicate(timeout=TIMEOUT_S)
    check_gave_up(process.returncode, log)


@pytest.mark.chaos
def test_a_worker_that_waits_for_the_database_can_be_stopped(
    storage: str, own_database_server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    flags = ["--study", "tiny", "--processes", "1", "--log-format", "json"]
    with worker(*flags, log=log, env={"HPO_STORAGE": storage}) as process:
        wait_until(lambda: count(log)["claimed"] > 0)
        own_database_server.stop()
        wait_until(lambda: count(log)["storage_away"] > 0)
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 143
    assert events(log)[-1]["exit_code"] == 143


REFUSALS = {
    "unknown:s3cret@{address}/postgres": 'role "unknown" does not exist',
    "deaf:s3cret@{address}/postgres": 'role "deaf" is not permitted to log in',
    "postgres@{address}/unknown": 'database "unknown" does not exist',
    "known:s3cret@{address}/shut": 'permission denied for database "shut"',
    "known:wr0ng@{address}/template1": 'password authentication failed for user "known"',
    "known@{address}/template1": "no password supplied",
    "known@{address}/closed": "pg_hba.conf rejects connection",
    "known@{address}/other": "no pg_hba.conf entry",
}


def test_what_will_not_pass_is_said_without_waiting(own_database_server: Server) -> None:
    server = own_database_server
    asked(
        server,
        "CREATE ROLE known LOGIN PASSWORD 's3cret'",
        "CREATE ROLE deaf NOLOGIN",
        "CREATE DATABASE shut",
        "REVOKE CONNECT ON DATABASE shut FROM PUBLIC",
    )
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(
        "host postgres all 127.0.0.1/32 trust\n"
        "host all postgres 127.0.0.1/32 trust\n"
        "host shut,template1 known 127.0.0.1/32 scram-sha-256\n"
        "host closed all 127.0.0.1/32 reject\n"
    )
    asked(server, "SELECT pg_reload_conf()")
    wait_until(lambda: "rejects" in refusal(server, "known@{address}/closed"))
    for account, says in REFUSALS.items():
        told = refusal(server, account)
        assert says in told
        assert "wr0ng" not in told
        assert "\n" not in told
    rules.write_text(before)
    asked(server, "SELECT pg_reload_conf()")


def refusal(server: Server, account: str) -> str:
    """What is said of it, without waiting for it to pass."""
    url = "postgresql://" + account.format(address=f"127.0.0.1:{server.port}")
    with pytest.raises(StorageError) as refused:
        Database.when_it_answers(url, timeout_s=60, wait=never)
    return str(refused.value)


def never(seconds: float) -> None:
    pytest.fail("it was waited for")


def test_a_server_that_is_full_or_on_its_way_out_is_waited_for(own_database_server: Server) -> None:
    server = own_database_server
    asked(server, "CREATE ROLE many LOGIN CONNECTION LIMIT 0")
    many = server.url.set(username="many").render_as_string()
    with pytest.raises(WaitedError):
        Database.when_it_answers(many, timeout_s=60, wait=leave)
    own = sa.create_engine(server.url, poolclass=sa.NullPool)
    with own.connect():  # the server waits for it to leave, and lets nobody in meanwhile
        os.kill(front(server), signal.SIGTERM)
        with pytest.raises(WaitedError):
            Database.when_it_answers(server.url.render_as_string(), timeout_s=60, wait=leave)
    wait_until(lambda: not server.is_running)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that stands still is soon taken for gone, though not a busy one."""
    monkeypatch.setattr(postgresql, "ANSWER_S", 3.0)


@pytest.mark.chaos
@pytest.mark.usefixtures("impatient")
def test_a_server_that_stands_still_is_not_waited_for_for_ever(database: str) -> None:
    with contextlib.closing(Database(database, create=True)) as db:
        with pytest.raises(UnreachableError, match="has not answered for") as gone:
            ask_one_that_stands_still(db)
        assert is_passing(gone.value.__cause__)
        db.ping()


def ask_one_that_stands_still(db: Database) -> None:
    with contextlib.ExitStack() as freeze, db.reading() as connection:
        serving = connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
        freeze.enter_context(standing_still(serving))
        connection.execute(sa.select(1))


@pytest.mark.chaos
@pytest.mark.usefixtures("impatient")
def test_what_a_server_left_without_an_answer_is_asked_again(
    database: str, own_database_server: Server
) -> None:
    """As where a proxy's server is gone, and another one takes its place."""
    with contextlib.closing(Database(database, create=True)) as db:

        def write() -> int:
            with db.transaction() as connection:
                tries.append(connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one())
                if len(tries) == 1:
                    freeze.enter_context(standing_still(tries[0]))
                connection.execute(sa.text("INSERT INTO kept VALUES (1), (2)"))
                return int(connection.execute(sa.text("SELECT count(*) FROM kept")).scalar_one())

        tries: list[int] = []
        with db.engine.begin() as connection:
            connection.execute(sa.text("CREATE TABLE kept (id INTEGER)"))
        with contextlib.ExitStack() as freeze:
            assert db.retry(write, timeout_s=60) == 2
        assert len(set(tries)) == 2


def test_a_connection_left_in_a_statement_is_replaced(database: str) -> None:
    def ask(connection: Any, record: Any) -> None:
        connection.pgconn.send_query(b"SELECT 1")

    with contextlib.closing(Database(database, create=True)) as db:
        sa.event.listen(db.engine, "checkin", ask)
        db.ping()
        sa.event.remove(db.engine, "checkin", ask)
        with pytest.raises(UnreachableError, match="in transaction status ACTIVE") as refused:
            db.ping()
        assert is_passing(refused.value.__cause__)
        db.ping()


@pytest.mark.chaos
@pytest.mark.usefixtures("impatient")
def test_a_server_that_speaks_every_now_and_then_is_heard_out(database: str) -> None:
    with contextlib.closing(Database(database, create=True)) as db, db.reading() as connection:
        slow = "SELECT repeat('x', 10000), pg_sleep(0.1) FROM generate_series(1, 40)"
        assert len(connection.execute(sa.text(slow)).all()) == 40


def test_a_lock_that_others_keep_is_an_outage(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backend, "schema_lock_timeout_s", 1)
    with contextlib.closing(Database(database, create=True)) as db:
        with db.transaction() as holder:
            holder.execute(LOCK)
            with pytest.raises(UnreachableError, match="lock timeout"):
                lock_too(db)
        db.ping()


LOCK = sa.text("LOCK TABLE hpo_studies")


def lock_too(db: Database) -> None:
    with db.errors_translated(), db.engine.begin() as other:
        other.execute(LOCK)


@contextlib.contextmanager
def impatient_worker(*flags: str, log: Path, storage: str) -> Iterator[subprocess.Popen[bytes]]:
    """`hpo worker` in one process, to which a second without an answer is a long time."""
    program = (
        "from storage.backends import postgresql; postgresql.ANSWER_S = 1.0; import cli; cli.main()"
    )
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", program, "worker", "--processes", "1", *flags],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env=clean_environment({"HPO_STORAGE": storage}),
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_server_that_stands_still_ends_a_worker(
    storage: str, own_database_server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    flags = ["--study", "tiny", "--storage-timeout", "3"]
    with impatient_worker(*flags, log=log, storage=storage) as process:
        wait_until(lambda: re.search("[1-7] of 8 trials", log.read_text()) is not None)
        serving = clients(own_database_server)
        with standing_still(front(own_database_server), *serving):
            process.wait(TIMEOUT_S)
    check_gave_up(process.returncode, log)


@pytest.mark.chaos
@pytest.mark.short_on
def test_a_second_signal_ends_a_worker_of_a_hanging_server(
    storage: str, own_database_server: Server, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    flags = ["--study", "tiny", "--processes", "1", "--log-format", "json"]
    with worker(*flags, log=log, env={"HPO_STORAGE": storage}) as process:
        wait_until(lambda: count(log)["claimed"] > 0)
        serving = clients(own_database_server)
        with standing_still(front(own_database_server), *serving):
            threading.Event().wait(2 * LEASE_S)  # until it waits for an answer
            process.terminate()
            threading.Event().wait(1)
            assert process.poll() is None, "it waits to give its work back"
            began = time.monotonic()
            process.terminate()
            process.wait(30)
            assert time.monotonic() - began < 2
    assert process.returncode == -signal.SIGTERM
