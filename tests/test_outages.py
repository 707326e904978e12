"""A database that goes away while workers work: they wait for it, and nothing is lost."""

import json
import re
import threading
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import wait_until, worker
from tests.databases import fresh_database
from tests.servers import Server, free_port
from tests.tiny_studies import must, tiny_flags, write_recipe


LEASE_S = 3

pytestmark = pytest.mark.parametrize("own_database_server", ["postgresql"], indirect=True)
"""The other databases go through it in tests/chaos."""


@pytest.fixture
def storage(
    own_database_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A study of eight trials, some seconds long, on a server that the test may stop."""
    monkeypatch.chdir(tmp_path)
    recipe = write_recipe(tmp_path)
    with fresh_database(own_database_server.url) as url:
        monkeypatch.setenv("HPO_STORAGE", url)
        long = {"trials": 8, "epochs": 30, "pruner": "none", "lease": LEASE_S}
        create = ["study", "create", "--architecture", "siamese", "--name", "tiny"]
        must(*create, "--space", recipe, *tiny_flags(**long))
        yield url
        if not own_database_server.is_running:
            own_database_server.start()  # the database is to be dropped


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


@pytest.mark.slow
def test_a_worker_waits_for_a_database_that_is_away_and_loses_nothing(
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
        process.communicate(timeout=100)
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


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", ["1", "2"])
def test_a_database_that_stays_away_ends_the_worker_with_one_line(
    storage: str, own_database_server: Server, tmp_path: Path, n_processes: str
) -> None:
    log = tmp_path / "log"
    flags = ["--study", "tiny", "--processes", n_processes, "--storage-timeout", "3"]
    with worker(*flags, log=log, env={"HPO_STORAGE": storage}) as process:
        wait_until(lambda: re.search("[1-7] of 8 trials", log.read_text()) is not None)
        own_database_server.stop()
        process.communicate(timeout=100)
    assert process.returncode == 4
    told = log.read_text()
    assert told.splitlines()[-1].startswith("error: cannot use the database ")
    assert sum(line.startswith("warning: ") for line in told.splitlines()) == 1
    assert "Traceback" not in told


@pytest.mark.slow
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
        process.communicate(timeout=30)
    assert process.returncode == 143
    assert events(log)[-1]["exit_code"] == 143
