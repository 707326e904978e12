"""`hpo reproduce`: a report's own configuration, run as a study would, beside what it reports."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from hpo.datasets import make_once
from hpo.reproduction.reproduce import reported_names, verdict
from hpo.reproduction.runs import plan
from hpo.statistics import summarize
from search_spaces.recipe import Reported
from tests.support.commands import HPO, TIMEOUT_S, clean_environment
from tests.support.sources import ROOT
from tests.support.tiny_studies import Done, hpo, must


needs_mnist = pytest.mark.skipif(
    not os.environ.get("HPO_DATA_DIR"), reason="HPO_DATA_DIR names no folder with MNIST"
)

NETWORKS = """\
import os
import signal
from dataclasses import replace
from pathlib import Path

from hpo.architectures import architectures
from hpo.datasets.disk import Disk

HERE = Path(__file__).parent

def known_by(name, **changes):
    entry = replace(architectures.get("baseline"), dataset="digits", **changes)
    return replace(entry, recipe=HERE / f"{name}.yaml")

def kill(examples):
    os.kill(os.getpid(), signal.SIGKILL)

class Untested(Disk):
    def draw_test(self, n, seed):
        raise AssertionError("a test example was drawn")

small = known_by("small")
other = known_by("other")
diverging = known_by("diverging")
endless = known_by("endless")
deadly = known_by("small", augment=kill)
silent = replace(small, recipe=HERE / "silent.yaml")
untested = replace(silent, build=architectures.get("disk-mlp").build, task=None)
untested = replace(untested, dataset="mine:Untested", augment=None, recipe=HERE / "small.yaml")
"""
PARAMS: dict[str, Any] = {"learning_rate": 0.01, "channels": [8, 16, 16]}
TRAINING = {"epochs": 5, "batch_size": 50}


def recipe_of(name: str, training: dict[str, int], **reported: Any) -> str:
    """A recipe with a report, as text."""
    section = {"source": "a report", "hyperparameters": PARAMS} | reported
    recipe_ = {"architecture": name, "parameters": {"learning_rate": 0.1}, "training": training}
    return yaml.safe_dump(recipe_ | {"reported": section})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with networks of a user's own, each with a recipe and a report."""
    path = tmp_path_factory.mktemp("networks")
    (path / "mine.py").write_text(NETWORKS)
    wild = PARAMS | {"learning_rate": 1e30}
    recipes = {
        "small": recipe_of("small", TRAINING, test_error=0.25, std=0.3, n=2, train_s=9.5),
        "other": recipe_of("other", TRAINING, n=1, n_parameters=1234),
        "diverging": recipe_of("diverging", TRAINING, test_error=0.4, n=2, hyperparameters=wild),
        "endless": recipe_of("endless", {"epochs": 1_000_000}, test_error=0.4),
        "silent": "{architecture: silent, parameters: {learning_rate: 0.1}}",
    }
    for name, text in recipes.items():
        (path / f"{name}.yaml").write_text(text)
    return path


@pytest.fixture(autouse=True)
def _in_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


@pytest.fixture(scope="module")
def reproduced(folder: Path) -> Done:
    """Three networks, run again by one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return hpo("reproduce mine:small mine:diverging mine:other --processes 1 --json")


def records(text: str) -> dict[str, dict[str, Any]]:
    """What `hpo reproduce --json` printed, by architecture."""
    return {each["architecture"]: each for each in json.loads(text)}


class TestTheRuns:
    def study(self, name: str, params: dict[str, Any], *flags: str) -> list[float]:
        """The test errors of a study whose one configuration this is."""
        space = Path("fixed.yaml")
        space.write_text(yaml.safe_dump({"architecture": name, "parameters": params}))
        create = ("study", "create", "--architecture", name, "--name", "fixed", "--folds", "2")
        must(*create, "--space", space, "--repeats", "2", *flags)
        must("worker --study fixed --processes 1")
        shown = json.loads(must("study show fixed --json"))
        must("study delete fixed --yes")
        values: list[float] = shown["best"]["test_error"]["values"]
        return values

    @pytest.mark.chaos
    def test_are_the_same_by_two_processes(self, reproduced: Done) -> None:
        by_two = records(must("reproduce mine:small mine:other --processes 2 --json"))
        by_one = records(reproduced.out)
        for name in ("mine:small", "mine:other"):
            assert by_two[name]["measured"] == by_one[name]["measured"]

    def test_are_those_of_a_study(self, reproduced: Done) -> None:
        expected = self.study("mine:small", PARAMS, "--epochs", "5", "--batch-size", "50")
        assert records(reproduced.out)["mine:small"]["measured"]["values"] == expected
        assert max(expected) < 0.4  # a network that has learnt nothing answers by the data alone

    @needs_mnist
    def test_on_mnist_agree_with_the_report(self) -> None:
        found = records(must("reproduce baseline --repeats 1 --json"))["baseline"]
        assert found["measured"]["n"] == 1
        assert (found["agrees"], found["n_parameters"]) == (True, 81_239)
        assert 0.1 < found["measured"]["mean"] < 0.2


class TestTheResult:
    def test_has_what_is_reported_beside_what_was_measured(self, reproduced: Done) -> None:
        assert reproduced.code == 0, reproduced.err
        assert list(records(reproduced.out)) == ["mine:small", "mine:diverging", "mine:other"]
        small = records(reproduced.out)["mine:small"]
        assert " ".join(small["reported"]) == "test_error std n n_parameters train_s source"
        assert list(small["reported"].values()) == [0.25, 0.3, 2, None, 9.5, "a report"]
        assert set(small["measured"]) == {"mean", "std", "n", "ci95", "values", "seeds"}
        assert small["measured"]["n"] == 2
        assert (small["failures"], small["agrees"], small["verdict"]) == ([], True, "yes")
        assert small["n_parameters"] > 0
        assert 0 < small["train_s"] < 60

    def test_counts_runs_that_diverge_and_the_rest_goes_on(self, reproduced: Done) -> None:
        diverging = records(reproduced.out)["mine:diverging"]
        assert (diverging["measured"], diverging["train_s"]) == (None, None)
        assert len(diverging["failures"]) == 2
        reason = diverging["failures"][0]
        assert reason.startswith("the loss became nan in epoch ")
        assert (diverging["agrees"], diverging["verdict"]) == (False, "no")
        told = [line for line in reproduced.err.splitlines() if "mine:diverging" in line]
        assert len(told) == 1
        assert told[0].endswith(f"2 failed, the first: {reason}")

    def test_judges_nothing_where_no_error_is_reported(self, reproduced: Done) -> None:
        other = records(reproduced.out)["mine:other"]
        assert (other["measured"]["n"], other["measured"]["std"]) == (1, None)
        assert (other["agrees"], other["verdict"]) == (None, "")

    def test_stands_in_the_table_of_the_docs(self, reproduced: Done) -> None:
        Path("reproduced.json").write_text(reproduced.out)
        Path("reports.md").write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
        script = [sys.executable, str(ROOT / "docs/reports_table.py"), "reproduced.json", "."]
        subprocess.run(script, check=True)
        first, mark, *table, end, last = Path("reports.md").read_text().splitlines()
        assert (first, mark, end, last) == (
            "before",
            "<!-- table -->",
            "<!-- end of table -->",
            "after",
        )
        head, rule, *rows = [line.strip("|").split("|") for line in table]
        cells = [[cell.strip() for cell in row] for row in rows]
        assert {len(row) for row in (head, rule, *rows)} == {7}
        assert [row[0] for row in cells] == ["mine:small", "mine:diverging", "mine:other"]
        small = records(reproduced.out)["mine:small"]
        mean, std = small["measured"]["mean"], small["measured"]["std"]
        assert cells[0][1:4] == ["25.00 ± 30.00 %", f"{100 * mean:.2f} ± {100 * std:.2f} %", "2"]
        assert cells[0][5:] == [f"9.5 / {small['train_s']:.1f}", "yes"]
        assert cells[1][1:4] == ["40.00 %", "-", "0, 2 failed"]
        assert cells[2][1] == "-"
        assert cells[2][4] == f"1,234 / {small['n_parameters']:,}"
        drawn = ElementTree.parse("reports.svg").getroot()
        names = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
        assert [name for name in names if name in records(reproduced.out)] == list(
            records(reproduced.out)
        )


@pytest.mark.chaos
class TestTheEnd:
    @pytest.mark.short_on("2")
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_leaves_what_is_complete_and_no_process(self, number: signal.Signals) -> None:
        names = ("mine:other", "mine:endless")
        flags = ("--repeats", "1", "--processes", "2", "--json")  # so that one process is idle
        command = [str(HPO), "reproduce", *names, *flags]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(
            command, env=clean_environment(), text=True, start_new_session=True, **pipes
        ) as running:
            try:
                assert running.stderr is not None
                assert running.stderr.readline().startswith("mine:other: ")
                running.send_signal(signal.SIGSTOP)  # so that its processes are the first to act
                os.killpg(running.pid, number)  # as a terminal does: to all of them
                time.sleep(0.5)
                running.send_signal(signal.SIGCONT)
                # A process that stays would keep our side of its stderr open.
                out, err = running.communicate(timeout=TIMEOUT_S)
            finally:
                running.kill()
        assert running.returncode == 128 + number
        assert list(records(out)) == ["mine:other"]
        assert err == "error: stopped before all was done\n"

    def test_a_dead_process_is_told_after_what_is_complete(self) -> None:
        done = hpo("reproduce mine:other mine:deadly --processes 1")
        assert done.code == 1
        assert [line.split()[0] for line in done.out.splitlines()[1:]] == ["mine:other"]
        told, error = done.err.splitlines()
        assert told.startswith("mine:other: ")
        assert error.startswith("error: a process died")
        assert "--processes" in error


class TestWrongInput:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("siames", "no architecture named 'siames'; did you mean siamese"),
            ("mine:silent", "no report is known for mine:silent: its recipe has no reported"),
            ("mine:small --repeats 0", "repeats: should be greater than or equal to 1, but it"),
            ("mine:small --processes 0", "processes: should be at least 1, but it is 0"),
            ("mine:small --device gpu", "no device named 'gpu'; hpo calls it cuda"),
        ],
    )
    def test_is_one_line(self, arguments: str, words: str) -> None:
        done = hpo(f"reproduce {arguments}")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert done.err.startswith(f"error: {words}")

    def test_missing_files_of_mnist_are_one_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path))
        make_once.cache_clear()  # what an earlier test has read is not asked for again
        done = hpo("reproduce baseline")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "missing in" in done.err


def test_without_a_name_all_reported_ones_are_run() -> None:
    listed = json.loads(must("architectures --json"))
    assert reported_names() == [each["name"] for each in listed if each["reported"]]
    assert "siamese" in reported_names()


@pytest.mark.parametrize(
    ("error", "std", "measured", "word"),
    [
        (0.05, 0.01, [0.05], "yes"),
        (0.05, 0.01, [0.06, 0.08], "yes"),  # just two standard deviations
        (0.05, 0.01, [0.0701], "no"),
        (0.05, 0.01, [0.0299], "better"),
        (0.05, None, [0.05], "yes"),
        (0.05, None, [0.051], "no"),
        (0.05, None, [0.049], "better"),
        (0.05, 0.01, [], "no"),
        (None, None, [0.05], ""),
    ],
)
def test_the_verdict_allows_two_standard_deviations(
    error: float | None, std: float | None, measured: list[float], word: str
) -> None:
    given: dict[str, Any] = dict.fromkeys(("n", "n_parameters", "train_s", "chosen"))
    report: dict[str, Any] = {
        "source": "a report",
        "test_error": error,
        "std": std,
        "hyperparameters": {},
    }
    reported = Reported(**(given | report))
    assert verdict(reported, summarize(measured)) == word


@pytest.mark.parametrize(
    ("asked", "expected"), [({}, (5, 50)), ({"epochs": 3}, (3, 50)), ({"batch_size": 9}, (5, 9))]
)
def test_runs_last_as_the_recipe_says_unless_told(
    asked: dict[str, int], expected: tuple[int, int]
) -> None:
    protocol = plan("mine:small", PARAMS, repeats=1, **asked).protocol
    assert (protocol.epochs, protocol.batch_size) == expected


@pytest.mark.short_on
@pytest.mark.chaos
def test_open_values_are_chosen_without_a_test_example(folder: Path) -> None:
    (folder / "open.yaml").write_text(
        "mine:untested: [{learning_rate: 0.01, epochs: 2}, {}]\nsiamese: []\n"
    )
    script = [sys.executable, "-m", "benchmarks.open_values", "open.yaml"]
    done = subprocess.run(
        [*script, "mine:untested", "--repeats", "2", "--processes", "1"],
        env=clean_environment() | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)
    assert (first["epochs"], second["epochs"]) == (2, TRAINING["epochs"])
    assert (first["error"]["n"], len(first["curves"])) == (2, 2)
    assert first["distance"] == pytest.approx(first["error"]["mean"] - 0.25)
