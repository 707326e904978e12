"""What is exported can be read, built and, with weights, gives the error that was recorded."""

import json
import shutil
import stat
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
import torch
import yaml
from safetensors.torch import load_file

import hpo
from hpo import protocol
from hpo.architectures import count_parameters
from hpo.datasets import load_dataset
from hpo.evaluation import repeated_seeds
from hpo.seeds import derive
from hpo.settings import StudySettings, defaults
from hpo.training.fit import evaluate
from search_spaces import recipe
from storage import studies
from storage.engine import Database
from tests.support import tiny_studies
from tests.support.tiny_studies import TINY, must, write_recipe


OTHER: dict[str, Any] = {
    "dataset": "digits",
    "trials": 3,
    "folds": 2,
    "epochs": 3,
    "batch_size": 17,
    "precision": "bfloat16",
    "repeats": 2,
    "max_attempts": 4,
    "train_size": 61,
    "test_size": 41,
    "sampler": "random",
    "pruner": "median",
    "centre": False,
    "seed": 5,
    "lease_s": 45.5,
}
"""Every setting but name and space, at a value that is not its default."""


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A complete study, `tiny`, whose recipe is the test's own."""
    folder = tmp_path_factory.mktemp("study")
    url = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder)
    hpo.create_study("siamese", name="tiny", storage=url, space=space, trials=2, **TINY)
    hpo.run_worker("tiny", storage=url)
    return url


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an export with weights."""
    path = tmp_path_factory.mktemp("export") / "best.yaml"
    weights = path.with_name("best.safetensors")
    hpo.export_study("tiny", storage=storage, output=path, weights=weights)
    return path.parent


@pytest.fixture
def exported(whole: Path, folder: Path) -> Path:
    """A copy of an export with weights beside it."""
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    return folder / "best.yaml"


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    return content


class TestText:
    def test_yaml_and_json_hold_the_same(self, storage: str) -> None:
        as_yaml = yaml.safe_load(hpo.export_study("tiny", storage=storage))
        as_json = json.loads(hpo.export_study("tiny", storage=storage, file_format="json"))
        assert as_yaml == as_json

    def test_it_says_what_the_study_says(self, storage: str) -> None:
        found = yaml.safe_load(hpo.export_study("tiny", storage=storage))
        status = json.loads(must("study", "show", "tiny", "--json", "--storage", storage))
        best = status["best"]
        assert found["hyperparameters"] == best["params"]
        same = ("trial", "n_parameters", "validation_error", "test_error")
        assert [found[key] for key in same] == [best[key] for key in same]
        assert (found["study"], found["architecture"], found["state"]) == (
            "tiny",
            "siamese",
            "complete",
        )

    def test_it_states_the_conditions(self, storage: str) -> None:
        found = yaml.safe_load(hpo.export_study("tiny", storage=storage))["conditions"]
        assert {key: found[key] for key in ("dataset", "folds", "epochs", "train_size")} == {
            "dataset": "digits",
            "folds": 2,
            "epochs": 2,
            "train_size": 60,
        }
        assert found["trials"]["complete"] + found["trials"]["pruned"] == 2
        assert [each["torch"] for each in found["versions"]] == [torch.__version__]
        assert len(found["fingerprint"]) == 64

    @pytest.mark.parametrize("form", ["yaml", "json"])
    def test_its_command_makes_the_same_study(self, storage: str, folder: Path, form: str) -> None:
        """Repeated word for word beside its file, it has the same protocol and finds the same."""
        path = folder / f"best.{form}"
        hpo.export_study("tiny", storage=storage, file_format=form, output=path)
        found = read(path)
        assert found["repeat"].startswith("hpo study create --architecture siamese ")
        must(found["repeat"].removeprefix("hpo "))
        assert frozen("sqlite:///hpo.db") == frozen(storage)
        hpo.run_worker("tiny")
        again = yaml.safe_load(hpo.export_study("tiny"))
        again["repeat"] = again["repeat"].replace("best.yaml", path.name)
        assert {**again, "conditions": None} == {**found, "conditions": None}

    def test_other_known_configurations_need_the_recipe_too(self, folder: Path) -> None:
        family = yaml.safe_load((recipe.FOLDER / "siamese.yaml").read_text())
        baseline = family["architectures"]["baseline"]
        baseline["known"] = [baseline["known"][0] | {"channels": [8, 8, 8]}]
        (folder / "mine.yaml").write_text(yaml.safe_dump(family))
        hpo.create_study("baseline", space="mine.yaml", **TINY | {"trials": 1, "repeats": 1})
        hpo.run_worker("baseline")
        text = hpo.export_study("baseline", output="best.yaml")
        assert "--space best.yaml" in yaml.safe_load(text)["repeat"]
        assert f"\nrepeat: {yaml.safe_load(text)['repeat']}\n" in text, "all on one line"

    def test_the_bundled_recipe_needs_no_file(self) -> None:
        hpo.create_study("baseline", **TINY | {"trials": 1, "repeats": 1})
        hpo.run_worker("baseline")
        assert "--space" not in yaml.safe_load(hpo.export_study("baseline"))["repeat"]

    def test_the_command_recreates_every_setting(self) -> None:
        """Each setting has a value that is not its default."""
        assert OTHER.keys() | {"name", "space"} == StudySettings.__annotations__.keys()
        assert all(OTHER[name] != value for name, value in defaults().items())
        made = hpo.create_study("baseline", **OTHER)
        hpo.run_worker("baseline", max_trials=1)
        found = yaml.safe_load(hpo.export_study("baseline"))
        assert found["conditions"].items() >= (made.protocol.frozen | {"trials": ANY}).items()
        must(f"{found['repeat'].removeprefix('hpo ')} --name again")
        again = json.loads(must("study list --json"))[1]
        assert frozen("sqlite:///hpo.db", "again") == made.protocol
        assert again["trials"]["target"] == made.n_trials == OTHER["trials"]


SEARCHED = """\
architecture: siamese
parameters:
  channels: [2, 4, 4]
  epochs: {type: int, low: 1, high: 3}
  batch_size: {values: [16, 32, 64]}
known: [{channels: [2, 4, 4], epochs: 2, batch_size: 16}]
"""


class TestSearchedDuration:
    @pytest.fixture
    def found(self, folder: Path) -> dict[str, Any]:
        """The export of a study that searches epochs and batch size; its one trial is known."""
        space = write_recipe(folder, SEARCHED)
        settings = TINY | {"epochs": None, "trials": 1}
        hpo.create_study("siamese", name="tiny", space=space, **settings)
        hpo.run_worker("tiny")
        exported: dict[str, Any] = yaml.safe_load(hpo.export_study("tiny"))
        return exported

    def test_its_conditions_are_those_of_the_best_trial(self, found: dict[str, Any]) -> None:
        """The protocol has the most that a trial can have."""
        most, conditions = frozen("sqlite:///hpo.db"), found["conditions"]
        assert (most.epochs, most.batch_size) == (3, 64)
        assert (conditions["epochs"], conditions["batch_size"]) == (2, 16)

    def test_its_command_runs_as_it_is_written(self, found: dict[str, Any], folder: Path) -> None:
        (folder / "best.yaml").write_text(yaml.safe_dump(found))
        must(f"{found['repeat'].removeprefix('hpo ')} --storage sqlite:///again.db")
        assert frozen("sqlite:///again.db") == frozen("sqlite:///hpo.db")


def frozen(storage: str, name: str = "tiny") -> protocol.Protocol:
    db = Database(storage)
    found = protocol.read(studies.get(db, name).protocol, name)
    db.close()
    return found


class TestFiles:
    def test_an_existing_file_is_replaced_whole(self, storage: str, folder: Path) -> None:
        path = folder / "best.yaml"
        path.write_text("old " * 10_000)
        with path.open() as reader:
            text = hpo.export_study("tiny", storage=storage, output=path)
            assert reader.read() == "old " * 10_000, "who reads it meanwhile reads one or the other"
        assert path.read_text() == text
        assert [each.name for each in folder.iterdir()] == ["best.yaml"], "nothing else is left"
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def test_the_command_writes_the_same(self, storage: str, folder: Path) -> None:
        text = must("export", "tiny", "--storage", storage)
        assert must("export", "tiny", "--storage", storage, "-o", "best.yaml") == ""
        assert (folder / "best.yaml").read_text() == text


class TestLoading:
    def test_without_weights_the_network_has_the_hyperparameters(
        self, storage: str, folder: Path
    ) -> None:
        for name, file_format in (("best.yaml", "yaml"), ("best.json", "json")):
            hpo.export_study("tiny", storage=storage, output=name, file_format=file_format)
            model = hpo.load(name)
            assert count_parameters(model) == read(folder / name)["n_parameters"]
            assert not model.training
            assert model(torch.rand(3, 2, 14, 14)).logits.shape == (3, 2)

    def test_with_weights_it_has_the_recorded_error_on_raw_images(self, exported: Path) -> None:
        found = read(exported)
        assert found["weights"]["seed"] == 0
        recorded = found["test_error"]["values"][0]
        assert found["weights"]["test_error"] == recorded
        raw = load_dataset("digits").draw_test(40, derive("test run", 0))
        assert evaluate(hpo.load(exported), raw) == recorded

    def test_weights_are_safetensors_of_the_trained_network(self, exported: Path) -> None:
        tensors = load_file(exported.with_name("best.safetensors"))
        model = hpo.load(exported)
        assert tensors.keys() == model.state_dict().keys()
        assert all(torch.equal(tensors[k], v) for k, v in model.state_dict().items())

    def test_the_export_can_be_moved_with_its_weights(self, exported: Path) -> None:
        before = hpo.load(exported)
        moved = exported.parent / "elsewhere"
        moved.mkdir()
        for name in ("best.yaml", "best.safetensors"):
            (exported.parent / name).rename(moved / name)
        images = torch.rand(2, 2, 14, 14)
        assert torch.equal(hpo.load(moved / "best.yaml")(images).logits, before(images).logits)

    def test_the_standardization_is_that_of_the_test_run(self, exported: Path) -> None:
        made = protocol.make(
            architecture="siamese",
            dataset="digits",
            fingerprint="",
            train_size=60,
            test_size=40,
            space={},
        )
        split = repeated_seeds.draw_split(made, 0, torch.device("cpu"))
        loaded = hpo.load(exported).state_dict()
        assert torch.equal(loaded["0.mean"], split.standardize.mean)
        assert torch.equal(loaded["0.std"], split.standardize.std)


TIED = """\
from torch import nn
def tied(rate=0.1):
    first, second = nn.Linear(392, 392), nn.Linear(392, 392)
    second.weight = first.weight
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.Linear(392, 2))
"""


def test_a_network_with_tied_weights_is_exported_and_loads_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (folder / "tied_net.py").write_text(TIED)
    space = write_recipe(folder, "{architecture: tied_net:tied, parameters: {learning_rate: 0.01}}")
    hpo.create_study("tied_net:tied", name="tied", space=space, **TINY)
    hpo.run_worker("tied")
    hpo.export_study("tied", output="best.yaml", weights="best.safetensors")
    raw = load_dataset("digits").draw_test(40, derive("test run", 0))
    loaded = hpo.load("best.yaml")
    assert evaluate(loaded, raw) == read(folder / "best.yaml")["test_error"]["values"][0]
    weights = loaded.state_dict()
    assert torch.equal(weights["1.1.weight"], weights["1.3.weight"])
    assert not torch.equal(weights["1.1.bias"], weights["1.3.bias"])


def test_weights_need_a_test_run(folder: Path) -> None:
    hpo.create_study("siamese", space=write_recipe(folder), trials=2, **TINY)
    hpo.run_worker("siamese", max_trials=1)
    assert yaml.safe_load(must("export siamese"))["test_error"] is None
    done = tiny_studies.hpo("export siamese --weights best.safetensors -o best.yaml")
    assert done.code == 1
    assert done.err == "error: study 'siamese' has no test run yet, so there are no weights\n"
    assert not list(folder.glob("best.*"))
