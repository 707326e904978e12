"""The recipes that come with hpo: one for each architecture, true to its report."""

from typing import NamedTuple

import optuna
import pytest

from hpo.architectures import architectures as zoo
from search_spaces.recipe import Recipe, Reported, architectures, bundled, bundled_files


class Row(NamedTuple):
    """What a report says: error and deviation in percent, runs, training, Adam's settings.

    A None is not said there.
    """

    error: float
    std: float
    n: int
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None = None
    weight_decay: float | None = None
    train_s: float | None = None


REPORTED = {
    "convpair": Row(18.42, 2.88, 20, 25, None, 0.001),
    "convpair-ws": Row(15.91, 2.675, 20, 25, None, 0.001),
    "convpair-ws-aux": Row(11.06, 2.230, 20, 25, None, 0.001),
    "convpair-ws-aux-dropout": Row(8.515, 1.957, 20, 50, None, 0.001),
    "convpair-ws-aux-small": Row(11.81, 2.305, 20, 25, None, 0.001),
    "fc": Row(22.98, 1.125, 15, 25, 100, 0.0011, 0.33),
    "fc-aux": Row(7.66, 0.6, 15, 25, 50, 0.0056, 0.001),
    "deepconv": Row(21.56, 2.5, 15, 25, 100, 0.001, 0.1),
    "deepconv-aux": Row(5.83, 0.97, 15, 25, 50, 0.0022, 0.11),
    "fnn": Row(100 - 78.2, 1.5, 10, 50, 64, train_s=9.3),
    "fnn-ws": Row(100 - 77.4, 2.4, 10, 50, 64, train_s=8.4),
    "fnn-aux": Row(100 - 93.8, 1.2, 10, 50, 64, train_s=10.7),
    "fnn-ws-aux": Row(100 - 94.8, 1.6, 10, 50, 64, train_s=10.3),
    "cnn": Row(100 - 79.7, 2.0, 10, 50, 64, train_s=44.3),
    "cnn-ws": Row(100 - 82.1, 1.3, 10, 50, 64, train_s=43.7),
    "cnn-aux": Row(100 - 94.5, 0.9, 10, 50, 64, train_s=45.8),
    "cnn-ws-aux": Row(100 - 94.7, 1.1, 10, 50, 64, train_s=45.9),
    "direct-basic": Row(21, 2, 10, None, None),
    "direct-ws": Row(16, 1, 10, None, None),
    "direct-al": Row(15, 2, 10, None, None),
    "direct-al-ws": Row(18, 2, 10, None, None),
    "direct-al-ws-asym": Row(19, 1, 10, None, None),
    "shres-ws": Row(18, 3, 10, None, None),
    "shres-al": Row(17, 2, 10, None, None),
    "shres-al-ws": Row(19, 2, 10, None, None),
    "shres-al-ws-asym": Row(15, 2, 10, None, None),
    "baseline": Row(100 - 82.7, 1.3, 15, 25, 100, 0.0025, 0.0, 4.05),
    "non-siamese": Row(100 - 91.8, 1.6, 15, 25, 100, 0.0025, 0.0, 8.84),
    "siamese": Row(100 - 94.8, 1.0, 15, 25, 100, 0.005, 0.0, 7.59),
}
"""The networks whose errors a report gives; 001's auxiliary ones see 100 images, 50 pairs."""

recipes = pytest.mark.parametrize(
    "architecture", [name for path in bundled_files() for name in architectures(path)]
)


def get(architecture: str) -> Recipe:
    found = bundled(architecture)
    assert found is not None
    return found


def get_reported(architecture: str) -> Reported:
    found = get(architecture).reported
    assert found is not None
    return found


def test_a_recipe_is_found_by_its_architecture_and_no_other() -> None:
    assert get("non-siamese").architecture == "non-siamese"
    assert bundled("no-such-net") is None


def test_recipes_and_architectures_match_one_to_one() -> None:
    names = [name for path in bundled_files() for name in architectures(path)]
    assert len(set(names)) == len(names)
    assert set(names) <= set(zoo)


@recipes
def test_a_search_starts_from_a_known_configuration(architecture: str) -> None:
    recipe = get(architecture)
    assert recipe.known
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for configuration in recipe.known:
        study.enqueue_trial(recipe.space.encode(configuration))
        drawn = study.ask(recipe.space.distributions()).params
        assert recipe.space.decode(drawn) == configuration


@recipes
def test_the_first_known_configuration_is_the_reports(architecture: str) -> None:
    """A weight decay of 0, which a logarithmic range cannot hold, stands as the lowest."""
    recipe = get(architecture)
    reported = recipe.reported.hyperparameters if recipe.reported else {}
    assert recipe.known, f"the recipe of {architecture} knows no configuration to begin with"
    known = recipe.known[0]
    wanted = {key: value for key, value in reported.items() if key in known}
    if not wanted.get("weight_decay", 0.0):
        wanted.pop("weight_decay", None)
        lowest = recipe.space.to_json().get("weight_decay", {})
        assert known.get("weight_decay") in (lowest.get("low"), *lowest.get("values", ()))
    assert {key: known[key] for key in wanted} == wanted


@pytest.mark.parametrize("architecture", list(REPORTED))
def test_a_recipe_says_what_its_report_says(architecture: str) -> None:
    row, recipe, found = REPORTED[architecture], get(architecture), get_reported(architecture)
    assert found.test_error == pytest.approx(row.error / 100)
    assert found.std == pytest.approx(row.std / 100)
    assert (found.n, found.train_s) == (row.n, row.train_s)
    assert row.epochs in (None, recipe.epochs)
    assert row.batch_size in (None, recipe.batch_size)
    assert row.learning_rate in (None, found.hyperparameters.get("learning_rate"))
    assert row.weight_decay in (None, found.hyperparameters.get("weight_decay"))
    if None in (row.epochs, row.batch_size, row.learning_rate):
        assert found.chosen, "what the report leaves open was chosen: say so"


@pytest.mark.parametrize(
    ("architecture", "channels"),
    [
        ("baseline", [32, 64, 128]),
        ("non-siamese", [32, 64, 128]),
        ("siamese", [64, 128, 256]),
    ],
)
def test_the_networks_of_report_004_have_its_channels_and_losses(
    architecture: str, channels: list[int]
) -> None:
    found = get_reported(architecture).hyperparameters
    assert found["channels"] == channels
    if architecture != "baseline":
        expected = {"dropout": 0.25, "aux_weight": 1.0, "merge": "concatenate"}
        assert {key: found[key] for key in expected} == expected


def test_the_space_of_report_004_holds_all_that_it_tried() -> None:
    found = get("siamese").space.to_json()
    choices = [8, 16, 32, 64, 128, 256]
    assert found["channels"] == {"type": "channels", "choices": choices, "layers": 3}
    assert found["merge"]["choices"] == ["concatenate", "difference", "maximum"]
    assert found["repair"]["choices"] == [False, True]
    assert {"aux_weight", "aux_balance"} <= set(found)
