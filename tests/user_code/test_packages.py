"""Networks and data of a user's own: by `module:attribute`, or by a name that a package offers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

import hpo
from hpo.datasets import DataSet, load_dataset
from hpo.errors import InputError
from hpo.seeds import derive
from hpo.training.fit import evaluate
from hpo.training.metrics import error_function
from tests.support import tiny_studies
from tests.support.commands import run_in_turn
from tests.support.own_code import POINTS, TINY, show, write
from tests.support.sources import ROOT
from tests.support.tiny_studies import must


EXAMPLES = ROOT / "examples"
README = (EXAMPLES / "README.md").read_text()
CREATIONS = re.findall(r"^hpo (study create [^#\n]+)", README, re.MULTILINE)
EXAMPLE_NAMES = {
    "breast_cancer:perceptron": "breast_cancer:BreastCancer",
    "friedman:NETWORK": "friedman:Friedman",
}

PACKAGE = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "pointnets"
version = "1.2"
requires-python = ">=3.11"
[project.entry-points."hpo.architectures"]
point-net = "pointnets.nets:NETWORK"
[project.entry-points."hpo.datasets"]
points = "pointnets.data:Points"
""",
    "pointnets/__init__.py": "",
    "pointnets/nets.py": """\
from pathlib import Path
from torch import nn
from hpo import Architecture
def build(width=4, depth=1):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 2))
NETWORK = Architecture(build=build, dataset="points", recipe=Path(__file__).with_name("nets.yaml"))
""",
    "pointnets/nets.yaml": """\
architecture: the network in nets.py
training: {epochs: 2, batch_size: 16}
parameters:
  width: {type: int, low: 2, high: 8}
""",
    "pointnets/data.py": POINTS,
}


@pytest.fixture(autouse=True)
def _path_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder of a test stays on `sys.path` no longer than the test."""
    monkeypatch.setattr(sys, "path", [*sys.path])


def offer(folder: Path, package: str, **points: str) -> None:
    """What installing a package leaves that offers architectures."""
    lines = [f"{name} = {value}" for name, value in points.items()]
    info = {
        "METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.3\n",
        "entry_points.txt": "\n".join(["[hpo.architectures]", *lines, ""]),
    }
    write(folder / f"{package}-0.3.dist-info", info)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with both examples as their README creates them, complete."""
    url = f"sqlite:///{tmp_path_factory.mktemp('examples') / 'hpo.db'}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path])
        patch.chdir(EXAMPLES)
        for command in CREATIONS:
            few = ["--trials", "2", "--train-size", "100"]
            must(*command.split(), "--storage", url, *TINY, *few)
        must("worker", "--processes", "1", "--storage", url)
    return url


class TestExamples:
    @pytest.fixture(autouse=True)
    def _in_their_folder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(EXAMPLES)

    @pytest.mark.parametrize(("architecture", "dataset"), EXAMPLE_NAMES.items())
    def test_one_goes_from_its_creation_to_the_trained_network(
        self, architecture: str, dataset: str, examples: str, tmp_path: Path
    ) -> None:
        name = architecture.replace(":", ".")
        status = show(name, examples)
        assert (status["state"], status["trials"]["failed"]) == ("complete", 0)
        assert (status["architecture"], status["dataset"]) == (architecture, dataset)

        best, weights = tmp_path / "best.yaml", tmp_path / "best.safetensors"
        must("export", name, "-o", best, "--weights", weights, "--storage", examples)
        exported = yaml.safe_load(best.read_text())
        data = load_dataset(dataset)
        raw = data.draw_test(data.default_test_size, derive("test run", 0))
        error = evaluate(hpo.load(best), raw, error_function(data))
        assert error == pytest.approx(status["best"]["test_error"]["values"][0], rel=1e-6)

        repeat = exported["repeat"].removeprefix("hpo ").replace("best.yaml", str(best))
        again = ["--storage", f"sqlite:///{tmp_path / 'again.db'}", "--json"]
        frozen = json.loads(must(*repeat.split(), *again))
        assert frozen["architecture"] == architecture
        assert frozen["fingerprint"] == exported["conditions"]["fingerprint"]

    @pytest.mark.usefixtures("examples")  # whose creation records the modules as trusted
    @pytest.mark.parametrize("name", EXAMPLE_NAMES.values())
    def test_their_data_keep_the_laws(self, name: str) -> None:
        data = load_dataset(name)
        state = torch.get_rng_state()
        train, test = data.draw_train(50, 3), data.draw_test(50, 3)
        assert torch.equal(state, torch.get_rng_state())
        assert torch.equal(data.draw_train(50, 3).inputs, train.inputs)
        assert not torch.equal(data.draw_train(50, 4).inputs, train.inputs)
        whole = data.draw_train(data.max_train_size, 0), data.draw_test(data.max_test_size, 0)
        rows = [{tuple(row) for row in examples.inputs.tolist()} for examples in whole]
        assert rows[0].isdisjoint(rows[1])
        for draw, most in ((data.draw_train, len(whole[0])), (data.draw_test, len(whole[1]))):
            for n in (0, most + 1):
                with pytest.raises(InputError, match=rf" {n} .* 1 to {most}$"):
                    draw(n, 0)
        assert len(train) == len(test) == 50

    @pytest.mark.usefixtures("examples")
    def test_a_data_set_may_define_its_error(self) -> None:
        error = error_function(load_dataset("friedman:Friedman"))
        targets = torch.tensor([0.0, 2.0])
        assert error(torch.tensor([[1.0], [1.0]]), targets) == pytest.approx(1.0)
        assert error(torch.tensor([[0.0], [1.0]]), targets) == pytest.approx(0.5**0.5)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the package, from a wheel."""
    source, site = (
        write(tmp_path_factory.mktemp("source"), PACKAGE),
        tmp_path_factory.mktemp("site"),
    )
    build = ["hatchling", "build", "-t", "wheel", "-d", "."]
    install = ["pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    for command in (build, [*install, "pointnets-1.2-py3-none-any.whl"]):
        subprocess.run([sys.executable, "-m", *command], cwd=source, check=True)
    return site


class TestInstalled:
    @pytest.fixture
    def storage(self, site: Path, monkeypatch: pytest.MonkeyPatch, sqlite_url: str) -> str:
        """A study of the package's network, which needs no recipe; the package is installed."""
        monkeypatch.syspath_prepend(str(site))
        create = ["study", "create", "--architecture", "point-net", "--trials", "2", *TINY]
        must(*create, "--storage", sqlite_url)
        return sqlite_url

    def test_its_names_do_for_a_whole_study(self, storage: str) -> None:
        must("worker", "--study", "point-net", "--processes", "1", "--storage", storage)
        status = show("point-net", storage)
        assert (status["state"], status["dataset"]) == ("complete", "points")
        assert status["best"]["params"].keys() == {"width"}

    @pytest.mark.short_on
    @pytest.mark.chaos
    def test_a_machine_without_it_says_so_and_does_other_studies(self, storage: str) -> None:
        of_digits = " ".join(tiny_studies.tiny_flags(trials=1))
        named, shown, made, worker, listed, none = run_in_turn(
            f"worker --study point-net --storage {storage} --processes 1",
            f"study show point-net --json --storage {storage}",
            f"study create --architecture siamese {of_digits} --storage {storage}",
            f"worker --storage {storage} --processes 1",
            f"study list --json --storage {storage}",
            f"worker --storage {storage} --processes 1",
        )
        assert named.code == 2
        (error,) = [line for line in named.err.splitlines() if line.startswith("error")]
        assert error.startswith("error: this machine has no architecture point-net, which the ")
        assert error.endswith("; install the package that provides it")
        trials = json.loads(shown.out)["trials"]
        assert (trials["running"], trials["failed"], trials["complete"]) == (0, 0, 0)
        assert made.code == 0, made.err
        assert worker.code == 0, worker.err
        assert "warning: study point-net is left out here: this machine has no" in worker.err
        assert [each["state"] for each in json.loads(listed.out)] == ["searching", "complete"]
        assert none.code == 2, "nothing that is left can be done here"

    def test_offered_networks_are_listed_and_broken_offers_told(
        self, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = json.loads(must("architectures", "--json"))
        for package in ("first", "second"):
            offer(tmp_path, package, both="pointnets.nets:build")
        offer(tmp_path, "broken", absent="not_there:build", siamese="pointnets.nets:build")
        offer(tmp_path, "loud", needy="loud:needy", wrong="loud:wrong", half="loud")
        source = "print('hello')\ndef needy(width): ...\ndef wrong(width=1): 1 / 0\n"
        write(tmp_path, {"loud.py": source})
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.syspath_prepend(str(tmp_path))

        done = tiny_studies.hpo("architectures", "--json")
        listed = json.loads(done.out)
        assert (done.code, listed[:-1]) == (0, own)
        last = [listed[-1][key] for key in ("name", "source", "n_parameters")]
        assert last == ["point-net", "pointnets 1.2", 26]
        says = [
            "warning: broken 0.3: architecture absent .not_there:build.: .* not_there is not insta",
            "warning: .* and .* 0.3: architecture both is offered twice; .* of second 0.3",
            "warning: loud 0.3: architecture half .loud.: name it as package.module:attribute",
            "hello",  # what a module prints does not get into the JSON
            "warning: loud 0.3: the factory of needy needs width: ",
            "warning: broken 0.3: hpo has an architecture siamese; use the name pointnets.nets:b",
            "warning: loud 0.3: wrong cannot be built with {}: ZeroDivisionError: ",
        ]
        for line, said in zip(done.err.splitlines(), says, strict=True):
            assert re.match(said, line), line


def test_public_names_are_those_of_the_contract() -> None:
    from hpo import Architecture, Examples, Outputs

    assert Architecture(build=torch.nn.Flatten).hyperparameters == {"start_dim": 1, "end_dim": -1}
    assert Outputs(torch.zeros(2, 3)).auxiliary is None
    assert len(Examples(torch.zeros(4, 2), torch.zeros(4))) == 4
    assert hpo.DataSet is DataSet
