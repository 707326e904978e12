"""A wrong recipe is refused with the place in it."""

import json
from pathlib import Path

import pytest

from tests.support.bad_input import CREATE, INPUT, check_refused
from tests.support.tiny_studies import RECIPE, write_recipe


pytestmark = pytest.mark.usefixtures("workplace")


WRONG_RECIPES = {
    "": "the file is empty",
    "architecture: siamese": "parameters is missing",
    "architecture: [": "line 1, column 16",
    "architecture: siamese\n\tparameters: {}": "line 2, column 1",
    "parameters: {dropout: 0.1}": "write either architecture .* or architectures",
    "- architecture: siamese": "is not a map of keys and values",
    "{architecture: siamese, parameter: {}}": "'parameter'.* parameters",
    "{architecture: siamese, parameters: {dropout: 0.1, dropout: 0.2}}": "occurs twice",
    "{architecture: siamese, parameters: &a {dropout: 0.1}, known: [*a]}": "anchors and aliases",
    "{architecture: siamese, parameters: {}, known: [{dropout: 0.1}]}": r"known\[0\].*dropout",
    "{architecture: siamese, training: {epochs: 0}, parameters: {}}": "training: epochs: 0 is not",
    "{architectures: {baseline: {}}, parameters: {}}": "unknown architecture 'siamese'",
}
WRONG_PARAMETERS = {
    "droput: 0.1": "siamese.*'droput'.* dropout",
    "hue: 0.9": "siamese.*'hue'.* optimizer, learning_rate, ",
    "momentum: 1.0, optimizer: momentum": "momentum: .* 1.* 1.0",
    "momentum: 0.9": "momentum .* optimizer is adam; .* use optimizer momentum or nesterov",
    "momentum: 0.9, optimizer: {type: categorical, choices: [sgd, adamw]}": (
        "momentum .* optimizer is sgd or adamw; .* use optimizer momentum or nesterov"
    ),
    "momentum: 0.9, optimizer: [sgd, momentum]": r"optimizer is \['sgd', 'momentum'\]",
    "decay: {type: float, low: 0.01, high: 0.1}": "decay .* schedule is none",
    "decay: 0.1, schedule: cosine": "schedule is cosine; .* exponential or step or time_based",
    "asymmetry_weight: 1.0": "siamese.*'asymmetry_weight'",
    "dropout: {type: flot, low: 0, high: 1}": "dropout: .*'flot'.* float",
    "dropout: {type: normal, low: 0, high: 1}": "allowed: float, int, categorical, channels",
    "dropout: {low: 0, high: 1}": "dropout: type is missing",
    "dropout: {type: float, low: 0.5, high: 0.1}": "dropout: low 0.5 is above high 0.1",
    "dropout: {type: float, low: 0.5}": "dropout: high is missing",
    "dropout: {type: float, low: 0, high: .inf}": "high: inf is not a finite number",
    "dropout: {type: float, low: .nan, high: 1}": "low: nan is not a finite number",
    "dropout: {type: float, low: 0, high: 1, log: true}": "low 0.0 is not above 0; with log: true",
    "dropout: {type: float, low: -1, high: 1, log: true}": "low -1.0 is not above 0",
    "dropout: {type: float, low: 0, high: 1, step: 0}": "step 0.0 is not above 0",
    "dropout: {type: float, low: 0, high: 2}": "siamese cannot be built with .*2.0.*dropout",
    "dropout: {type: categorical, choices: []}": "choices: the list is empty",
    "learning_rate: {type: float, low: 1e-4, high: 1e-2}": "write 1.0e-4",
    "learning_rate: fast": "learning_rate.*'fast'",
    "learning_rate: -0.1": "learning_rate.*-0.1",
    "weight_decay: -0.1": "weight_decay.*-0.1",
    "aux_weight: heavy": "aux_weight.*'heavy'",
    "channels: {type: channels, choices: [2, 4], layers: 2}": "siamese cannot be built with",
    "channels: {type: channels, choices: [2, 4], layers: 4}": "siamese cannot be built with",
    "channels: {type: channels, choices: [2, 4], layers: 0}": "layers: 0 is not positive",
    "channels: {type: channels, choices: [0, 4], layers: 3}": "0 is not positive",
    "channels: {type: channels, choices: [4], layers: 3}": "choices: one is too few",
    "channels: [2, 4]": "siamese cannot be built with",
    "channels: 8": "siamese cannot be built with",
    "merge: sum": "merge is 'sum'; allowed: concatenate, difference, maximum",
    "merge: {type: categorical, choices: [concatenate, sum]}": "merge is 'sum'",
}


@pytest.mark.parametrize(("recipe", "says"), WRONG_RECIPES.items())
def test_a_wrong_recipe_is_refused_by_its_file(recipe: str, says: str) -> None:
    write_recipe(Path(), recipe, "wrong.yaml")
    check_refused(f"{CREATE} --space wrong.yaml", INPUT, rf"^wrong\.yaml: .*{says}")


@pytest.mark.parametrize(("parameter", "says"), WRONG_PARAMETERS.items())
def test_a_wrong_parameter_of_a_recipe_is_refused(parameter: str, says: str) -> None:
    write_recipe(Path(), f"{{architecture: siamese, parameters: {{{parameter}}}}}", "wrong.yaml")
    check_refused(f"{CREATE} --space wrong.yaml", INPUT, says)


def test_channels_that_two_groups_cannot_share_are_refused() -> None:
    channels = "channels: {type: channels, choices: [3, 4], layers: 3}"
    write_recipe(Path(), f"{{architecture: baseline, parameters: {{{channels}}}}}", "odd.yaml")
    check_refused(
        f"{CREATE} --architecture baseline --space odd.yaml", INPUT, "baseline cannot be built"
    )


def test_more_known_configurations_than_trials_are_refused() -> None:
    known = "known:\n" + "".join(
        f"  - {{learning_rate: 0.00{n}, channels: [2, 2, 4]}}\n" for n in (2, 3)
    )
    write_recipe(Path(), RECIPE + known, "known.yaml")
    check_refused(f"{CREATE} --space known.yaml --trials 1", INPUT, "1 .*2 known .* --trials")


WRONG_JSON = {
    "": "not JSON",
    "{": "not JSON",
    '{"architecture": "siamese", "parameters": {"dropout": NaN}}': "NaN is not JSON",
    '{"architecture": "siamese", "parameters": {"dropout": -Infinity}}': "-Infinity is not JSON",
    '{"architecture": "siamese", "parameters": {"dropout": 1e999}}': "inf is not a finite number",
    '{"architecture": "a", "architecture": "b", "parameters": {}}': "'architecture' occurs twice",
    '{"parameters": {"a": 1, "a": 1}}': "the key 'a' occurs twice",
    '{"a": ' * 21 + "1" + "}" * 21: "nested more than 20 levels deep",
    "[" * 100_000: "not JSON",
    json.dumps({"known": list(range(10_001))}): "more than 10000 values",
    json.dumps({"architecture": "x" * 1001}): "a value is longer than 1000 characters",
    json.dumps({"x" * 1001: 1}): "a value is longer than 1000 characters",
    '{"seed": ' + "9" * 5000 + "}": "not JSON",
    "[1]": "is not a map of keys and values",
    '{"hpo_export": 1}': "recipe is missing",
    '{"hpo_export": 1, "recipe": []}': "recipe: .* is not a map",
    '{"hpo_export": 1, "recipe": {"architecture": "fc", "parameters": {}}}': "architecture fc, not",
}


@pytest.mark.parametrize(("recipe", "says"), WRONG_JSON.items(), ids=range(len(WRONG_JSON)))
def test_a_wrong_recipe_in_json_is_refused_by_its_file(recipe: str, says: str) -> None:
    write_recipe(Path(), recipe, "wrong.json")
    check_refused(f"{CREATE} --space wrong.json", INPUT, rf"^wrong\.json: .*{says}")


def test_a_file_of_another_kind_or_size_is_no_recipe() -> None:
    Path("large.yaml").write_text("#" * 300_001)
    check_refused(f"{CREATE} --space large.yaml", INPUT, "larger than 300 kB")
    check_refused(f"{CREATE} --space /dev/zero", INPUT, "larger than 300 kB")
    check_refused(f"{CREATE} --space /dev/null", INPUT, "the file is empty")
