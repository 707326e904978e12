"""Search spaces: kinds of parameters, how Optuna sees a configuration, and how they are counted."""

import ast
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

import search_spaces
from search_spaces import RecipeError
from search_spaces.space import SearchSpace


ROOT = Path(search_spaces.__file__).parents[1]
CHOICES = [8, 16, 32, 64, 128, 256]
SIAMESE = {
    "learning_rate": {"type": "float", "low": 1e-4, "high": 3e-2, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.6},
    "channels": {"type": "channels", "choices": CHOICES, "layers": 3},
    "batches": {"type": "int", "low": 10, "high": 50, "step": 10},
    "merge": {"type": "categorical", "choices": ["concatenate", "difference", "maximum"]},
    "decay": {"values": [0.0, 0.001, 0.1]},
    "momentum": {"type": "float", "values": [0, 0.9]},
    "hidden": {"type": "int", "values": [50, 100]},
    "nesterov": True,
    "sizes": [75, 50],
}
CONFIGURATION = {
    "learning_rate": 0.005,
    "dropout": 0.25,
    "channels": [64, 64, 256],
    "batches": 30,
    "merge": "difference",
    "decay": 0.001,
    "momentum": 0.9,
    "hidden": 100,
}
FIXED = {"nesterov": True, "sizes": [75, 50]}


def space(**parameters: Any) -> SearchSpace:
    return SearchSpace.from_json(parameters)


# --- the package


def test_reading_recipes_loads_no_service_torch_or_optuna() -> None:
    code = (
        "import sys, search_spaces\n"
        "heavy = {'optuna', 'torch', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy and search_spaces.RecipeError.exit_code == 2, heavy\n"
        "from search_spaces import recipe\n"
        "space = recipe.bundled('siamese').space\n"
        "heavy = {'optuna', 'torch'} & set(sys.modules)\n"
        "ours = {name for name in sys.modules if name.partition('.')[0] == 'hpo'}\n"
        "assert (heavy, ours) == (set(), {'hpo', 'hpo.errors'}), (heavy, ours)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").glob("*.py")), ids=lambda p: p.name
)
def test_no_module_imports_what_lies_above_it(path: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").removeprefix("hpo.errors").split(".")[0])
    assert not imported & {"hpo", "torch", "storage", "cli"}


# --- the centre


def test_the_centre_is_the_middle_of_each_scale() -> None:
    assert SearchSpace.from_json(SIAMESE).centre == FIXED | {
        "learning_rate": pytest.approx((1e-4 * 3e-2) ** 0.5),
        "dropout": pytest.approx(0.3),
        "channels": [32, 32, 32],
        "batches": 30,
        "merge": "concatenate",
        "decay": 0.001,
        "momentum": 0.0,
        "hidden": 50,
    }


@pytest.mark.parametrize(
    ("written", "centre"),
    [
        ({"type": "int", "low": 16, "high": 256, "log": True}, 64),
        ({"type": "int", "low": 1, "high": 4}, 2),
        ({"type": "int", "low": 10, "high": 49, "step": 10}, 20),
        ({"type": "float", "low": -1.0, "high": 3.0}, 1.0),
        ({"type": "float", "low": 0.1, "high": 0.7, "step": 0.2}, 0.3),
        ({"type": "float", "low": 1.5e308, "high": 1.7e308}, 1.6e308),
        ({"type": "float", "low": 0.3, "high": 0.3, "log": True}, 0.3),
        ({"values": [64, 8, 16]}, 16),
        ({"type": "categorical", "choices": ["sgd", 1, 2]}, "sgd"),
        ({"type": "categorical", "choices": [True, False]}, True),
        ({"type": "categorical", "choices": [None, 1, 2]}, None),
        ({"type": "channels", "choices": [64, 8, 32, 16], "layers": 2}, [16, 16]),
    ],
)
def test_the_middle_of_one_range(written: dict[str, Any], centre: object) -> None:
    assert space(parameter=written).centre == {"parameter": centre}


# --- the kinds of parameters, towards Optuna


def test_every_kind_becomes_its_distribution_under_optunas_name() -> None:
    index = IntDistribution(0, 5)
    assert SearchSpace.from_json(SIAMESE).distributions() == {
        "learning_rate": FloatDistribution(1e-4, 3e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.6),
        "channels_0": index,
        "channels_1": index,
        "channels_2": index,
        "batches": IntDistribution(10, 50, step=10),
        "merge": CategoricalDistribution(("concatenate", "difference", "maximum")),
        "decay": CategoricalDistribution((0.0, 0.001, 0.1)),
        "momentum": CategoricalDistribution((0.0, 0.9)),
        "hidden": CategoricalDistribution((50, 100)),
    }


def test_log_integers_and_stepped_floats_keep_their_scale() -> None:
    made = space(
        width={"type": "int", "low": 1, "high": 512, "log": True},
        rate={"type": "float", "low": 0.1, "high": 0.9, "step": 0.2},
    )
    assert made.distributions() == {
        "width": IntDistribution(1, 512, log=True),
        "rate": FloatDistribution(0.1, 0.9, step=0.2),
    }


@pytest.mark.filterwarnings("error")
def test_a_range_ends_at_its_last_whole_step() -> None:
    made = space(
        rate={"type": "float", "low": 0.1, "high": 1.0, "step": 0.2},
        width={"type": "int", "low": 10, "high": 55, "step": 10},
    )
    assert made.to_json()["rate"]["high"] == 0.9
    assert made.to_json()["width"]["high"] == 50
    assert made.distributions()["rate"] == FloatDistribution(0.1, 0.9, step=0.2)
    with pytest.raises(RecipeError, match=r"rate: 1.0 is outside 0.1 to 0.9"):
        made.encode({"rate": 1.0, "width": 10})


def test_channels_are_sorted_whatever_order_a_recipe_gives_them() -> None:
    made = space(channels={"type": "channels", "choices": [64, 8, 32], "layers": 2})
    assert made.decode({"channels_0": 0, "channels_1": 2}) == {"channels": [8, 64]}


def test_names_and_fixed_values_are_the_recipes_own() -> None:
    made = SearchSpace.from_json(SIAMESE)
    assert made.names == tuple(SIAMESE)
    assert made.fixed == FIXED


def test_encode_and_decode_give_either_form_in_order() -> None:
    made = SearchSpace.from_json(SIAMESE)
    encoded = made.encode(CONFIGURATION)
    assert encoded == {
        "learning_rate": 0.005,
        "dropout": 0.25,
        "channels_0": 3,
        "channels_1": 3,
        "channels_2": 5,
        "batches": 30,
        "merge": "difference",
        "decay": 0.001,
        "momentum": 0.9,
        "hidden": 100,
    }
    assert list(encoded) == list(made.distributions())
    decoded = made.decode(dict(reversed(encoded.items())))
    assert decoded == CONFIGURATION | FIXED
    assert list(decoded) == list(SIAMESE)
    assert made.encode(decoded) == encoded


def test_a_whole_number_given_for_a_float_becomes_a_float() -> None:
    made = space(rate={"type": "float", "low": 0, "high": 1})
    assert isinstance(made.encode({"rate": 1})["rate"], float)
    assert isinstance(made.to_json()["rate"]["low"], float)


def test_decode_and_canonical_sort_the_indexes() -> None:
    made = space(
        channels={"type": "channels", "choices": CHOICES, "layers": 3},
        rate={"type": "float", "low": 0.0, "high": 1.0},
    )
    sampled = {"channels_0": 5, "channels_1": 0, "channels_2": 3, "rate": 0.5}
    assert made.decode(sampled) == {"channels": [8, 64, 256], "rate": 0.5}
    assert made.canonical(sampled) == sampled | {"channels_0": 0, "channels_1": 3, "channels_2": 5}
    assert made.canonical(made.canonical(sampled)) == made.canonical(sampled)


@pytest.mark.parametrize(("drawn", "stored"), [(0.1 + 0.2, 0.3), (0.3, 0.3), (7 * 0.1, 0.7)])
def test_what_a_sampler_draws_from_a_grid_is_stored_without_rounding_errors(
    drawn: float, stored: float
) -> None:
    made = space(rate={"type": "float", "low": 0.0, "high": 0.9, "step": 0.1})
    assert made.canonical({"rate": drawn}) == {"rate": stored}


@pytest.mark.parametrize(
    ("low", "high", "log", "middle"),
    [
        (0.05, 0.2, True, 0.1),
        (1e-5, 1e-3, True, 1e-4),
        (0.1, 0.7, False, 0.4),
        (1e-4, 1e-1, True, 1e-4**0.5 * 1e-1**0.5),
    ],
)
def test_the_centre_has_no_rounding_error(
    low: float, high: float, log: bool, middle: float
) -> None:
    made = space(rate={"type": "float", "low": low, "high": high, "log": log})
    assert made.centre == {"rate": middle}


def test_a_rounding_error_outside_the_range_is_still_decoded() -> None:
    made = space(rate={"type": "float", "low": 0.0, "high": 0.3})
    assert made.decode({"rate": 0.30000000000000004}) == {"rate": 0.30000000000000004}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"learning_rate": 0.5}, "parameter learning_rate: 0.5 is outside 0.0001 to 0.03"),
        ({"learning_rate": math.nan}, "parameter learning_rate: nan is not a finite number"),
        ({"learning_rate": "0.01"}, "is a string, not a number: write 0.01 without quotes"),
        ({"dropout": True}, "parameter dropout: true is not a number"),
        ({"dropout": None}, "parameter dropout: null is not a number"),
        ({"batches": 35}, "parameter batches: 35 is not 10 plus a whole number of steps of 10"),
        ({"batches": 30.0}, "parameter batches: 30.0 is not a whole number"),
        ({"batches": 60}, "parameter batches: 60 is outside 10 to 50"),
        ({"merge": "sum"}, "'sum' is not a choice; allowed: concatenate, difference, maximum"),
        ({"decay": 0.5}, "parameter decay: 0.5 is not a choice; allowed: 0.0, 0.001, 0.1"),
        ({"decay": False}, "parameter decay: false is not a choice"),
        ({"channels": [8, 16]}, "parameter channels: [8, 16] has 2 layers, not 3"),
        ({"channels": [64, 32, 128]}, "[64, 32, 128] decreases; channels never decrease"),
        ({"channels": [8, 16, 48]}, "48 is not among its choices: 8, 16, 32, 64, 128, 256"),
        ({"channels": [8, 16, True]}, "parameter channels: true is not a number"),
        ({"channels": 64}, "parameter channels: 64 is not a list"),
        (
            {"nesterov": False},
            "parameter nesterov: false is not allowed; the parameter is fixed at true",
        ),
        ({"nesterov": 1}, "parameter nesterov: 1 is not allowed; the parameter is fixed at true"),
        (
            {"sizes": [75]},
            "parameter sizes: [75] is not allowed; the parameter is fixed at [75, 50]",
        ),
        ({"droput": 0.1}, "unknown parameter 'droput'; did you mean dropout?"),
        ({"channels_0": 1}, "unknown parameter 'channels_0'"),
    ],
)
def test_encode_refuses_what_the_space_does_not_hold(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        SearchSpace.from_json(SIAMESE).encode(CONFIGURATION | change)
    assert said in str(caught.value)


def test_a_float_between_two_steps_is_refused() -> None:
    made = space(rate={"type": "float", "low": 0.1, "high": 0.9, "step": 0.2})
    assert made.encode({"rate": 0.1 + 0.2}) == {"rate": 0.3}  # a rounding error is none
    with pytest.raises(RecipeError, match=r"rate: 0.4 is not 0.1 plus a whole number of steps"):
        made.encode({"rate": 0.4})


def test_encode_names_all_that_is_missing() -> None:
    with pytest.raises(RecipeError, match=r"missing: dropout, channels$"):
        SearchSpace.from_json(SIAMESE).encode(
            {k: v for k, v in CONFIGURATION.items() if k not in ("dropout", "channels")}
        )


@pytest.mark.parametrize("method", ["decode", "canonical"])
@pytest.mark.parametrize(
    ("optuna_params", "said"),
    [
        ({"c_0": 0}, "missing: c_1"),
        ({"c_0": 0, "c_1": 1, "d": 2}, "unknown parameter 'd'"),
        ({"c_0": 0, "c_1": 2}, "an index is outside 0 to 1"),
        ({"c_0": -1, "c_1": 0}, "an index is outside 0 to 1"),
        ({"c_0": 0, "c_1": 0.5}, "0.5 is not a whole number"),
    ],
)
def test_what_no_sampler_can_have_drawn_is_refused(
    method: str, optuna_params: dict[str, Any], said: str
) -> None:
    made = space(c={"type": "channels", "choices": [8, 16], "layers": 2}, f=1)
    with pytest.raises(RecipeError) as caught:
        getattr(made, method)(optuna_params)
    assert said in str(caught.value)


def test_decode_refuses_what_is_no_choice() -> None:
    with pytest.raises(RecipeError, match=r"merge: 'sum' is not a choice; allowed: a, b"):
        space(merge={"type": "categorical", "choices": ["a", "b"]}).decode({"merge": "sum"})


# --- counting


def test_points_are_all_configurations_in_a_fixed_order() -> None:
    made = space(
        channels={"type": "channels", "choices": [8, 16], "layers": 2},
        rate={"type": "float", "low": 0.1, "high": 0.3, "step": 0.1},
        fixed="adam",
    )
    expected = [
        {"channels_0": first, "channels_1": second, "rate": rate}
        for (first, second), rate in itertools.product([(0, 0), (0, 1), (1, 1)], [0.1, 0.2, 0.3])
    ]
    assert made.points() == expected
    assert made.n_points == 9


def test_a_grid_has_a_point_for_each_rising_sequence() -> None:
    made = space(channels={"type": "channels", "choices": CHOICES, "layers": 3})
    assert made.n_points == len(made.points()) == math.comb(8, 3)


@pytest.mark.parametrize("parameters", [{}, {"a": 1, "b": [1, 2], "c": "x"}])
def test_a_fully_fixed_space_has_one_point(parameters: dict[str, Any]) -> None:
    made = SearchSpace.from_json(parameters)
    assert made.n_points == 1
    assert made.points() == [{}]
    assert made.distributions() == {}
    assert made.decode({}) == parameters


def test_what_cannot_be_counted_is_named() -> None:
    made = SearchSpace.from_json(SIAMESE)
    for count in (lambda: made.n_points, made.points):
        with pytest.raises(RecipeError, match=r"not countable: learning_rate, dropout; give"):
            count()


def test_a_float_range_of_one_value_is_countable() -> None:
    made = space(rate={"type": "float", "low": 0.5, "high": 0.5})
    assert made.points() == [{"rate": 0.5}]


def test_an_absurd_grid_is_refused_before_it_is_made() -> None:
    ints = {"type": "int", "low": 0, "high": 10**9}
    made = space(a=ints, b=ints, c=ints)
    assert made.n_points == (10**9 + 1) ** 3
    with pytest.raises(RecipeError, match=r"too many points; allowed: at most 1,000,000"):
        made.points()
