"""Signals to `hpo worker`: the work is given back."""

import os
import signal
from pathlib import Path

import pytest

from tests.commands.test_cli import create, show, trials
from tests.support.commands import TIMEOUT_S, wait_until, worker
from tests.support.tiny_studies import must, write_recipe


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder, with a recipe in it."""
    monkeypatch.chdir(tmp_path)
    write_recipe(tmp_path)


def n_at_work() -> int:
    """How many workers have trained an epoch of what they claimed."""
    return sum(each["n_epochs"] > 0 and not each["is_silent"] for each in show()["workers"])


LONG = {"trials": 2, "repeats": 1, "epochs": 1000, "pruner": "none", "lease": 3600}
"""A study that would hold its next worker up for an hour, were its work not given back."""


class TestSignals:
    @pytest.mark.chaos
    def test_a_stopped_worker_gives_back_and_the_next_one_goes_on(self) -> None:
        """At once, and to the same trial."""
        create(**LONG | {"trials": 1, "epochs": 400})
        self.stop_at_work(signal.SIGTERM, 1)
        interrupted = trials()[0]["params"]
        must("worker --study tiny --processes 1 --max-trials 1")
        (trial,) = trials()
        assert (trial["state"], trial["params"]) == ("complete", interrupted)
        assert (trial["n_epochs"], trial["n_attempts"]) == (400, 1)

    @pytest.mark.short_on
    @pytest.mark.chaos
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_two_stopped_processes_give_their_work_back(self, number: signal.Signals) -> None:
        create(**LONG)
        self.stop_at_work(number, 2)

    def stop_at_work(self, number: signal.Signals, n_processes: int) -> None:
        with worker("--study", "tiny", "--processes", str(n_processes)) as process:
            wait_until(lambda: n_at_work() == n_processes)
            if number == signal.SIGINT:
                os.killpg(process.pid, number)  # as a terminal sends it
            else:
                process.send_signal(number)
            _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 128 + number
        assert errors.splitlines()[-1] == "error: stopped; the work under way was given back"
        assert "Traceback" not in errors
        self.check_given_back(n_processes)

    def check_given_back(self, n: int) -> None:
        assert show()["workers"] == []
        assert [each["n_attempts"] for each in trials()] == [0] * n

    @pytest.mark.chaos
    def test_a_signal_to_the_whole_group_loses_nothing(self) -> None:
        """As a batch system sends it: to every process, and the parent passes it on besides."""
        create(**LONG | {"train_size": 300, "batch_size": 2})  # epochs longer than the passing on
        with worker("--study", "tiny", "--processes", "2") as process:
            wait_until(lambda: n_at_work() == 2)
            os.killpg(process.pid, signal.SIGTERM)
            _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 143
        assert errors.splitlines()[-1] == "error: stopped; the work under way was given back"
        self.check_given_back(2)

    @pytest.mark.short_on
    @pytest.mark.chaos
    def test_a_second_signal_ends_all_at_once_and_says_so(self) -> None:
        create(**LONG | {"train_size": 600, "batch_size": 2, "epochs": 5000})
        with worker("--study", "tiny", "--processes", "2") as process:
            wait_until(lambda: n_at_work() == 2)
            process.send_signal(signal.SIGSTOP)  # so that both are there before it acts
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGCONT)
            _, errors = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode in (130, 143)
        assert "when its lease runs out" in errors.splitlines()[-1]
        assert [each["state"] for each in trials()] == ["running", "running"]

    @pytest.mark.chaos
    def test_workers_leave_with_a_parent_that_is_killed(self) -> None:
        create(**LONG)
        with worker("--study", "tiny", "--processes", "2") as process:
            wait_until(lambda: n_at_work() == 2)
            process.kill()
            process.communicate(timeout=TIMEOUT_S)  # ends when the last child has
        self.check_given_back(2)
