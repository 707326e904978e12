"""What can be searched for an architecture, and how long a configuration trains."""

import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo import protocol
from hpo.architectures import Architecture, Outputs, architectures
from hpo.datasets import Examples, load_dataset
from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.studies.lifecycle import open_database, open_study
from hpo.training.config import TrainingConfig, hyperparameters
from storage import studies
from tests.support.tiny_studies import hpo, must, tiny_flags, write_recipe


FIT = {
    "optimizer",
    "learning_rate",
    "weight_decay",
    "momentum",
    "schedule",
    "decay",
    "initialization",
}
LOSSES = {"loss", "label_smoothing"}
AUXILIARY = {"aux_weight", "aux_balance"}
ASYMMETRY = {"asymmetry_weight"}
DURATION = {"epochs", "batch_size"}
PAIRS = {"repair", "shift", "rotation", "scale"}


def own_loss(outputs: Outputs, batch: Examples) -> Tensor:
    return outputs.logits.square().mean()


def small(*, width: int = 3) -> nn.Module:
    return nn.Linear(2, width)


class TestHyperparameters:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("baseline", FIT | LOSSES | DURATION | PAIRS),
            ("non-siamese", FIT | LOSSES | DURATION | PAIRS | AUXILIARY),
            ("direct-al-ws", FIT | LOSSES | DURATION | PAIRS | AUXILIARY),
            ("direct-al-ws-asym", FIT | LOSSES | DURATION | PAIRS | AUXILIARY | ASYMMETRY),
            ("disk-mlp", FIT | LOSSES | DURATION),
        ],
    )
    def test_they_are_those_that_have_an_effect(self, name: str, expected: set[str]) -> None:
        entry = architectures.get(name)
        assert set(hyperparameters(entry)) - set(entry.hyperparameters) == expected

    def test_those_of_the_network_come_with_its_defaults(self) -> None:
        found = hyperparameters(architectures.get("non-siamese"))
        assert found["channels"] == (32, 64, 128)
        assert (found["learning_rate"], found["aux_weight"]) == (0.001, 1.0)
        assert (found["epochs"], found["batch_size"]) == (None, None)

    def test_a_loss_of_its_own_leaves_nothing_of_the_built_in_one(self) -> None:
        entry = Architecture(build=small, loss=own_loss, auxiliary_loss=True, asymmetry_loss=True)
        assert set(hyperparameters(entry)) == FIT | DURATION | {"width"}

    @pytest.mark.parametrize("name", list(architectures))
    def test_the_defaults_of_each_architecture_make_a_setting(self, name: str) -> None:
        entry = architectures.get(name)
        given = {key: value for key, value in hyperparameters(entry).items() if value is not None}
        config = TrainingConfig(architecture=entry, params=given, epochs=1, batch_size=2)
        assert config.optimization.learning_rate == 0.001
        assert isinstance(config.try_build(), nn.Module)


def frozen(**settings: Any) -> Protocol:
    return protocol.make(
        architecture="disk-mlp",
        dataset="disk",
        fingerprint=load_dataset("disk").fingerprint(),
        train_size=40,
        test_size=40,
        space={},
        **settings,
    )


class TestDuration:
    @pytest.mark.parametrize(
        ("params", "epochs", "batch_size"),
        [
            ({}, 7, 50),
            ({"epochs": 3}, 3, 50),
            ({"batch_size": 9}, 7, 9),
            ({"epochs": 30, "batch_size": 2}, 30, 2),
        ],
    )
    def test_a_configuration_overrides_the_protocol(
        self, params: Mapping[str, Any], epochs: int, batch_size: int
    ) -> None:
        config = TrainingConfig.of(frozen(epochs=7, batch_size=50), params)
        assert (config.epochs, config.batch_size) == (epochs, batch_size)

    @pytest.mark.parametrize("value", [0, -1, 2.0, 2.5, True, "many", None, [3]])
    @pytest.mark.parametrize(("name", "least"), [("epochs", 1), ("batch_size", 2)])
    def test_what_is_no_whole_number_from_the_least_is_refused(
        self, name: str, least: int, value: Any
    ) -> None:
        with pytest.raises(InputError) as caught:
            TrainingConfig.of(frozen(), {name: value})
        expected = f"{name}: should be a whole number from {least}, but it is {value!r}"
        assert str(caught.value) == expected

    def test_a_batch_of_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="batch_size: should be a whole number from 2, but"):
            TrainingConfig.of(frozen(), {"batch_size": 1})


class TestEffects:
    @pytest.mark.parametrize(
        "written",
        [
            "momentum: 0.8, optimizer: nesterov",
            "momentum: 0.8, optimizer: {type: categorical, choices: [adam, momentum]}",
            "decay: 0.1, schedule: {values: [none, step]}",
            "decay: 0.1, schedule: exponential",
        ],
    )
    def test_what_some_configuration_uses_can_be_searched(self, folder: Path, written: str) -> None:
        recipe = f"{{architecture: siamese, parameters: {{channels: [2, 4, 4], {written}}}}}"
        must(*create(write_recipe(folder, recipe)))

    @pytest.mark.parametrize(("name", "switch"), [("momentum", "optimizer"), ("decay", "schedule")])
    def test_what_none_uses_is_refused(self, folder: Path, name: str, switch: str) -> None:
        recipe = f"{{architecture: siamese, parameters: {{channels: [2, 4, 4], {name}: 0.5}}}}"
        done = hpo(*create(write_recipe(folder, recipe)))
        assert done.code == 2
        assert done.err.startswith(f"error: {name} has no effect where {switch} is ")
        assert done.err.count("\n") == 1
        assert list(folder.glob("*.db")) == []


class TestBuilding:
    def test_only_the_networks_own_parameters_reach_its_factory(self) -> None:
        params = {"width": 5, "learning_rate": 0.1, "epochs": 3}
        config = TrainingConfig(
            architecture=Architecture(build=small), params=params, epochs=3, batch_size=2
        )
        model = config.build()
        assert isinstance(model, nn.Linear)
        assert model.out_features == 5
        assert config.optimization.learning_rate == 0.1

    def test_a_factory_that_fails_is_told_with_the_configuration(self) -> None:
        entry = architectures.get("siamese")
        config = TrainingConfig(
            architecture=entry, params={"channels": [8]}, epochs=1, batch_size=2
        )
        with pytest.raises(InputError, match=r"^siamese cannot be built with \{'channels': \[8\]"):
            config.try_build()

    def test_what_is_no_network_is_refused(self) -> None:
        entry = Architecture(name="none", build=lambda: None)  # type: ignore[arg-type, return-value]
        config = TrainingConfig(architecture=entry, params={}, epochs=1, batch_size=2)
        with pytest.raises(
            InputError,
            match=r"^the factory of none returns no torch module; it should return an nn.Module$",
        ):
            config.try_build()


class TestAugmentation:
    digits = load_dataset("digits").draw_train(20, 0)

    def augmented(self, name: str, **params: Any) -> Examples:
        entry = architectures.get(name)
        config = TrainingConfig(architecture=entry, params=params, epochs=1, batch_size=2)
        return config.augment(self.digits)

    def test_the_configuration_decides(self) -> None:
        torch.manual_seed(0)
        plain = self.augmented("siamese", learning_rate=0.1)
        assert torch.equal(plain.inputs, self.digits.inputs)
        assert torch.equal(plain.targets, self.digits.targets)
        moved = self.augmented("siamese", shift=1.0)
        assert torch.equal(moved.targets, self.digits.targets)
        assert not torch.equal(moved.inputs, self.digits.inputs)
        assert not torch.equal(self.augmented("siamese", repair=True).targets, moved.targets)

    @pytest.mark.parametrize("n", [0, 19, 40])
    def test_it_keeps_the_number_of_examples(self, n: int) -> None:
        """Else the schedules, which count the batches beforehand, would come out wrong."""

        def change(examples: Examples) -> Examples:
            return examples.subset(torch.arange(20).repeat(2)[:n])

        entry = Architecture(name="mine", build=small, augment=change)
        config = TrainingConfig(architecture=entry, params={}, epochs=1, batch_size=2)
        says = rf"^augment of mine makes {n} examples of 20; it should keep their number$"
        with pytest.raises(InputError, match=says):
            config.augment(self.digits)

    def test_a_network_without_any_takes_the_examples_as_they_are(self) -> None:
        assert self.augmented("disk-mlp", shift=1.0) is self.digits


RECIPE = """\
architecture: siamese
parameters:
  learning_rate: {type: float, low: 1.0e-3, high: 1.0e-2, log: true}
  channels: [2, 4, 4]
  epochs: {type: int, low: 1, high: 4}
  batch_size: {type: int, values: [8, 16, 64]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def create(recipe: Path, **settings: Any) -> list[str]:
    flags = tiny_flags(space=recipe, name="tiny", **({"epochs": None} | settings))
    return ["study", "create", "--architecture", "siamese", *flags]


class TestSearchedDuration:
    @pytest.mark.parametrize("pruner", ["none", "hyperband"])
    def test_each_trial_trains_as_long_as_it_drew(self, folder: Path, pruner: str) -> None:
        must(*create(write_recipe(folder, RECIPE), trials=6, pruner=pruner))
        must("worker", "--study", "tiny", "--processes", "1")
        trials = json.loads(must("study", "trials", "tiny", "--json"))
        assert {trial["state"] for trial in trials} <= {"complete", "pruned"}
        assert trials[0]["state"] == "complete"
        for trial in trials:
            drawn = trial["params"]["epochs"]
            whole = trial["state"] == "complete"
            assert trial["n_epochs"] == drawn if whole else trial["n_epochs"] < drawn
        assert len({trial["params"]["epochs"] for trial in trials}) > 1
        assert {trial["params"]["batch_size"] for trial in trials} <= {8, 16, 64}
        with closing(open_database()) as db:
            study = open_study(db, "tiny")
            tests = {each.id for each in studies.work(db, study.id) if each.kind == "test"}
            curves = [c.curve for c in studies.curves(db, study.id) if c.claim_id in tests]
        assert (study.protocol.epochs, study.protocol.batch_size) == (4, 64)
        best = json.loads(must("study", "show", "tiny", "--json"))["best"]
        assert [len(curve) for curve in curves] == [best["params"]["epochs"]] * 2

    @pytest.mark.parametrize(("name", "value"), [("epochs", 3), ("batch_size", 16)])
    def test_a_flag_beside_a_recipe_that_searches_it_is_refused(
        self, folder: Path, name: str, value: int
    ) -> None:
        done = hpo(*create(write_recipe(folder, RECIPE), **{name: value}))
        expected = f"error: {name}: the recipe already searches or fixes it; leave the option out, "
        assert (done.code, done.err) == (2, f"{expected}or name another recipe with --space\n")
        assert list(folder.glob("*.db")) == []

    @pytest.mark.parametrize(
        ("written", "said"),
        [
            ("epochs: {type: int, low: 0, high: 4}", "epochs: should be a whole number from 1"),
            ("epochs: {type: float, low: 1, high: 4}", "epochs: should be a whole number from 1"),
            ("epochs: {type: categorical, choices: [few, many]}", "epochs: 'few' is a string"),
            ("epochs: {type: channels, choices: [1, 2], layers: 2}", "epochs: is not a number"),
            ("batch_size: {values: [1, 8]}", "batch_size: should be a whole number from 2"),
        ],
    )
    def test_a_range_that_holds_no_epochs_or_batch_sizes_is_refused(
        self, folder: Path, written: str, said: str
    ) -> None:
        recipe = f"architecture: siamese\nparameters:\n  channels: [2, 4, 4]\n  {written}\n"
        done = hpo(*create(write_recipe(folder, recipe)))
        assert done.code == 2
        assert said in done.err
        assert done.err.count("\n") == 1
        assert list(folder.glob("*.db")) == []
