"""What operators see of workers: events as JSON lines, figures for Prometheus, health."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.commands import TIMEOUT_S, wait_until, worker
from tests.support.servers import free_port
from tests.support.tiny_studies import hpo, must, tiny_flags, write_recipe


WORK = "worker --study tiny --processes 1"


@pytest.fixture(autouse=True)
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A study of three trials and two test runs in the working folder's database."""
    monkeypatch.chdir(tmp_path)
    create(tmp_path)


def create(folder: Path) -> None:
    flags = ["study", "create", "--architecture", "siamese", "--name", "tiny"]
    must(*flags, "--space", write_recipe(folder), *tiny_flags(trials=3, pruner="none"))


def test_stderr_holds_one_json_event_a_line() -> None:
    done = hpo(f"{WORK} --log-format json")
    assert (done.code, done.out) == (0, "")
    told = [json.loads(line) for line in done.err.splitlines()]
    names = [event["event"] for event in told]
    assert names == ["worker_started", *["claimed", "finished"] * 5, "worker_ended"]
    assert all(event["level"] == "info" and event["time"].startswith("20") for event in told)
    assert len({event["worker"] for event in told}) == 1
    finished = [event for event in told if event["event"] == "finished"]
    recorded = {trial["number"]: trial for trial in json.loads(must("study trials tiny --json"))}
    for event in finished[:3]:
        assert (event["study"], event["kind"], event["attempt"]) == ("tiny", "trial", 1)
        assert event["error"] == recorded[event["trial"]]["validation_error"]
        assert event["outcome"] == "complete"
        assert event["seconds"] > 0
    assert [event["part"] for event in finished[3:]] == [0, 1]


def test_an_error_that_ends_the_worker_is_its_last_event() -> None:
    done = hpo("worker --study none --processes 1 --log-format json")
    assert done.code == 3
    (told,) = map(json.loads, done.err.splitlines())
    assert (told["event"], told["level"], told["exit_code"]) == ("ended", "error", 3)
    assert "no study named 'none'" in told["message"]


def test_only_warnings_are_told_in_words() -> None:
    done = hpo(WORK)
    assert done.code == 0
    assert "warning" not in done.err
    assert "{" not in done.err


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def figures(port: int) -> dict[tuple[Any, ...], float]:
    """Each sample by its name and the values of its labels, in the order of the labels' names."""
    samples = [
        sample
        for family in text_string_to_metric_families(get(port, "/metrics")[1])
        for sample in family.samples
    ]
    return {
        (each.name, *dict(sorted(each.labels.items())).values()): each.value for each in samples
    }


@pytest.mark.chaos
@pytest.mark.slow
def test_prometheus_finds_the_work_of_workers_that_wait_for_it(tmp_path: Path) -> None:
    must("study delete tiny --yes")
    port, log = free_port(), tmp_path / "log"
    flags = ["--wait", "--processes", "2", "--log-format", "json", "--metrics-port", str(port)]
    with worker(*flags, log=log) as process:
        wait_until(lambda: log.read_text().count('"worker_started"') == 2)
        create(tmp_path)
        wait_until(lambda: log.read_text().count('"finished"') == 5)
        found = figures(port)
        assert get(port, "/healthz")[0] == 200
        assert get(port, "/elsewhere")[0] == 404
        assert process.poll() is None
        process.terminate()
        assert process.wait(TIMEOUT_S) == 143
    assert found["hpo_storage_up",] == 1
    assert found["hpo_workers",] == 2
    assert found["hpo_trials_target", "tiny"] == 3
    assert found["hpo_work", "trial", "complete", "tiny"] == 3
    assert found["hpo_work", "test", "complete", "tiny"] == 2
    assert found["hpo_claims_total",] == 5
    assert found["hpo_work_duration_seconds_count", "trial", "complete", "tiny"] == 3
    assert found["hpo_leases_lost_total",] == found["hpo_worker_deaths_total",] == 0


def test_a_port_that_is_taken_is_told_and_no_work_is_done() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = hpo(f"{WORK} --metrics-port {taken.getsockname()[1]}")
    assert done.code == 2
    assert done.err.startswith("error: metrics: cannot listen on 127.0.0.1:")
    assert json.loads(must("study trials tiny --json")) == []
