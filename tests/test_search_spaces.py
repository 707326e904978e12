"""Recipes and search spaces: what is read, what is refused, and how Optuna sees a configuration."""

import ast
import itertools
import json
import keyword
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)

import search_spaces
from search_spaces import RecipeError
from search_spaces.recipe import Recipe, Reported, architectures, bundled, bundled_files, read
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


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "recipe.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refusal(path: Path, architecture: str | None = None) -> str:
    """The one line with which a file is refused; it always begins with the file's name."""
    with pytest.raises(RecipeError) as caught:
        read(path, architecture)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{path}: ")
    assert len(message) < len(str(path)) + 400
    return message.removeprefix(f"{path}: ")


# --- the package


def test_importing_and_reading_loads_neither_the_service_nor_torch_nor_optuna() -> None:
    code = (
        "import sys, search_spaces\n"
        "heavy = {'optuna', 'torch', 'hpo', 'yaml', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy and search_spaces.RecipeError.exit_code == 2, heavy\n"
        "from search_spaces import recipe\n"
        "space = recipe.bundled('siamese').space\n"
        "heavy = {'optuna', 'torch', 'hpo'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
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
            imported.add((node.module or "").split(".")[0])
    assert not imported & {"hpo", "torch", "storage", "cli"}


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


def test_a_log_range_of_whole_numbers_and_a_stepped_float_keep_their_scale() -> None:
    made = space(
        width={"type": "int", "low": 1, "high": 512, "log": True},
        rate={"type": "float", "low": 0.1, "high": 0.9, "step": 0.2},
    )
    assert made.distributions() == {
        "width": IntDistribution(1, 512, log=True),
        "rate": FloatDistribution(0.1, 0.9, step=0.2),
    }


@pytest.mark.filterwarnings("error")
def test_a_range_that_its_step_does_not_divide_ends_at_the_last_step() -> None:
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


def test_encode_gives_optunas_form_and_decode_gives_all_of_the_own_form_in_order() -> None:
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


def test_decode_sorts_the_indexes_and_canonical_keeps_them_sorted_in_optunas_form() -> None:
    made = space(
        channels={"type": "channels", "choices": CHOICES, "layers": 3},
        rate={"type": "float", "low": 0.0, "high": 1.0},
    )
    sampled = {"channels_0": 5, "channels_1": 0, "channels_2": 3, "rate": 0.5}
    assert made.decode(sampled) == {"channels": [8, 64, 256], "rate": 0.5}
    assert made.canonical(sampled) == sampled | {"channels_0": 0, "channels_1": 3, "channels_2": 5}
    assert made.canonical(made.canonical(sampled)) == made.canonical(sampled)


def test_a_sampled_float_a_rounding_error_outside_its_range_is_still_decoded() -> None:
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
        ({"merge": "sum"}, "'sum' is not among its values: concatenate, difference, maximum"),
        ({"decay": 0.5}, "parameter decay: 0.5 is not among its values: 0.0, 0.001, 0.1"),
        ({"decay": False}, "parameter decay: false is not among its values"),
        ({"channels": [8, 16]}, "parameter channels: [8, 16] has 2 layers, not 3"),
        ({"channels": [64, 32, 128]}, "[64, 32, 128] decreases; channels never decrease"),
        ({"channels": [8, 16, 48]}, "48 is not among its choices: 8, 16, 32, 64, 128, 256"),
        ({"channels": [8, 16, True]}, "parameter channels: true is not a number"),
        ({"channels": 64}, "parameter channels: 64 is not a list"),
        ({"nesterov": False}, "parameter nesterov: false is not its fixed value true"),
        ({"nesterov": 1}, "parameter nesterov: 1 is not its fixed value true"),
        ({"sizes": [75]}, "parameter sizes: [75] is not its fixed value [75, 50]"),
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
    assert made.encode({"rate": 0.1 + 0.2}) == {"rate": 0.1 + 0.2}  # a rounding error is none
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
    with pytest.raises(RecipeError, match=r"merge: 'sum' is not among its values: a, b"):
        space(merge={"type": "categorical", "choices": ["a", "b"]}).decode({"merge": "sum"})


# --- counting


def test_points_are_all_configurations_each_once_in_a_fixed_order() -> None:
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


def test_a_grid_of_the_report_has_one_point_for_each_never_decreasing_sequence() -> None:
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


# --- properties

identifiers = st.from_regex(r"[a-z]{1,8}", fullmatch=True).filter(
    lambda name: not keyword.iskeyword(name)
)
finite = st.floats(-1e6, 1e6)
words = st.sampled_from(["adam", "sgd", "relu", "tanh", "none"])


def ranges(kind: str, numbers: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    ends = st.tuples(numbers, numbers).map(sorted)
    return ends.map(lambda pair: {"type": kind, "low": pair[0], "high": pair[1]})


@st.composite
def stepped(draw: st.DrawFn) -> dict[str, Any]:
    low, width, step = draw(st.tuples(*(st.integers(0, 500) for _ in range(3))))
    low, high, step = low / 100, (low + width) / 100, (step + 1) / 100
    return {"type": "float", "low": low, "high": high, "step": step}


channels = st.builds(
    lambda choices, layers: {"type": "channels", "choices": choices, "layers": layers},
    st.lists(st.integers(1, 512), min_size=2, max_size=5, unique=True),
    st.integers(1, 4),
)
categories = st.lists(words, min_size=1, unique=True).map(
    lambda choices: {"type": "categorical", "choices": choices}
)
values = st.lists(finite, min_size=1, max_size=5, unique=True).map(lambda each: {"values": each})
bare = st.one_of(finite, st.booleans(), words, st.lists(st.integers(1, 9), min_size=1, max_size=3))
small_ints = ranges("int", st.integers(0, 4))
countable = st.one_of(small_ints, stepped(), channels, categories, values, bare)
anything = st.one_of(countable, ranges("float", finite), ranges("int", st.integers(-1000, 1000)))


def spaces(kinds: st.SearchStrategy[Any], size: int = 5) -> st.SearchStrategy[SearchSpace]:
    parameters = st.dictionaries(identifiers, kinds, max_size=size)
    return parameters.map(SearchSpace.from_json)


def sampled(made: SearchSpace, seed: int) -> dict[str, Any]:
    """A configuration as Optuna's own sampler draws it."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return dict(study.ask(made.distributions()).params)


@pytest.fixture(autouse=True, scope="module")
def quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@given(spaces(anything), st.integers(0, 2**31))
def test_whatever_optuna_samples_survives_decode_and_encode(made: SearchSpace, seed: int) -> None:
    drawn = sampled(made, seed)
    stored = made.canonical(drawn)
    assert made.encode(made.decode(drawn)) == stored
    assert made.decode(stored) == made.decode(drawn)
    assert set(stored) == set(drawn)


@given(channels, st.integers(0, 2**31))
def test_sampled_channels_never_decrease(written: dict[str, Any], seed: int) -> None:
    made = space(channels=written)
    decoded = made.decode(sampled(made, seed))["channels"]
    assert decoded == sorted(decoded)
    assert len(decoded) == written["layers"]
    assert set(decoded) <= set(written["choices"])


@given(spaces(countable, size=2))
def test_the_points_are_as_many_as_counted_all_different_and_all_in_the_space(
    made: SearchSpace,
) -> None:
    points = made.points()
    assert len(points) == made.n_points
    assert len({json.dumps(made.decode(point)) for point in points}) == len(points)
    assert all(made.encode(made.decode(point)) == point for point in points[:50])


@given(spaces(anything))
def test_json_and_yaml_give_back_the_same_space_to_the_last_bit(made: SearchSpace) -> None:
    assert SearchSpace.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert json.dumps(SearchSpace.from_json(made.to_json()).to_json()) == json.dumps(made.to_json())
    assert (
        SearchSpace.from_json(yaml.safe_load(yaml.safe_dump(made.to_json(), sort_keys=False)))
        == made
    )


@given(spaces(anything))
def test_every_distribution_survives_optunas_own_storage_form(made: SearchSpace) -> None:
    for distribution in made.distributions().values():
        assert json_to_distribution(distribution_to_json(distribution)) == distribution


# --- reading files

HEAD = "architecture: net\n"
PLAIN = HEAD + "parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}\n"


def test_a_file_of_one_architecture_is_read_with_all_its_sections(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "architecture: net\n"
        "training: {epochs: 30, batch_size: 64}\n"
        "parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}\n"
        "known: [{rate: 1}, {width: 8, rate: 0.5}]\n"
        "reported: {source: Table 1, test_error: 0.25, hyperparameters: {rate: 2, sizes: [1]}}\n",
    )
    expected = Recipe(
        architecture="net",
        epochs=30,
        batch_size=64,
        space=space(rate={"type": "float", "low": 0.0, "high": 1.0}, width=8),
        known=({"rate": 1.0, "width": 8}, {"rate": 0.5, "width": 8}),
        reported=Reported("Table 1", 0.25, None, None, {"rate": 2, "sizes": [1]}),
    )
    assert read(path) == expected
    assert read(path, "net") == expected
    assert architectures(path) == ("net",)


def test_all_but_the_parameters_may_be_left_out(tmp_path: Path) -> None:
    assert read(write(tmp_path, HEAD + "parameters: {}")) == Recipe(
        "net", None, None, SearchSpace(()), (), None
    )


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert read(write(tmp_path, b"\xef\xbb\xbf" + PLAIN.encode())).architecture == "net"


FAMILY = """
architectures:
  small:
  large:
    training: {epochs: 50}
    parameters:
      width: {type: int, low: 1, high: 9}
      rate: null
      depth: 3
    known: [{width: 2}]
    reported: null
training: {epochs: 10, batch_size: 5}
parameters: {rate: {type: float, low: 0.0, high: 1.0}, width: 8}
known: [{rate: 0.1}]
reported: {source: Table 1, test_error: 0.5}
"""


def test_a_member_of_a_family_takes_what_is_common(tmp_path: Path) -> None:
    path = write(tmp_path, FAMILY)
    assert architectures(path) == ("small", "large")
    small = read(path, "small")
    assert small.architecture == "small"
    assert (small.epochs, small.batch_size) == (10, 5)
    assert small.space.names == ("rate", "width")
    assert small.known == ({"rate": 0.1, "width": 8},)
    assert small.reported == Reported("Table 1", 0.5, None, None, {})


def test_a_member_of_a_family_changes_adds_and_removes(tmp_path: Path) -> None:
    large = read(write(tmp_path, FAMILY), "large")
    assert (large.epochs, large.batch_size) == (50, 5)
    assert large.space == space(width={"type": "int", "low": 1, "high": 9}, depth=3)
    assert large.known == ({"width": 2, "depth": 3},)
    assert large.reported is None


@pytest.mark.parametrize(
    ("text", "architecture", "said"),
    [
        (FAMILY, None, "holds a family; say which architecture: small, large"),
        (FAMILY, "smal", "unknown architecture 'smal'; did you mean small"),
        (PLAIN, "other", "holds architecture net, not 'other'"),
        ("architectures: {a: {parameters: {x: null}}}\nparameters: {}", "a", "takes away what is"),
        ("architectures: {a: {epochs: 3}}\nparameters: {}", "a", "unknown key 'epochs'"),
        ("architectures: {a: 3}\nparameters: {}", "a", "architecture a: 3 is not a map"),
        ("architectures: {a: }", "a", "architecture a: parameters is missing"),
        ("architectures: {}\nparameters: {}", "a", "architectures: the map is empty"),
        ("architectures: [a]\nparameters: {}", "a", "architectures: ['a'] is not a map"),
        ("architectures: {no: {}}\nparameters: {}", "a", "false is not a line of text"),
        (
            "architectures: {a: {known: [{x: 3}]}}\nparameters: {x: 2}",
            "a",
            "a: known[0]: parameter",
        ),
    ],
)
def test_a_family_is_refused_in_one_line(
    tmp_path: Path, text: str, architecture: str | None, said: str
) -> None:
    assert said in refusal(write(tmp_path, text), architecture)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("{type: flaot, low: 0, high: 1}", "unknown type 'flaot'; did you mean float? allowed:"),
        ("{type: [float], low: 0, high: 1}", "unknown type ['float']"),
        ("{low: 0, high: 1}", "type is missing; allowed: float, int, categorical, channels"),
        ("{type: float, low: 0, high: 1, lgo: true}", "unknown key 'lgo'; did you mean lo"),
        ("{type: float, high: 1}", "low is missing"),
        ("{type: int, low: 1}", "high is missing"),
        ("{type: float, low: 2, high: 1}", "low 2.0 is above high 1.0"),
        ("{type: float, low: 0, high: 1, log: true}", "low 0.0 is not above 0, as log: true"),
        ("{type: int, low: 0, high: 9, log: true}", "low 0 is not above 0, as log: true"),
        ("{type: float, low: 1, high: 2, log: true, step: 0.1}", "log and step do not go together"),
        ("{type: float, low: 1, high: 2, log: maybe}", "log: 'maybe' is neither true nor false"),
        ("{type: float, low: 0, high: 1, step: 0}", "step 0.0 is not above 0"),
        ("{type: int, low: 0, high: 9, step: -2}", "step -2 is not above 0"),
        ("{type: int, low: 0, high: 9, step: 0.5}", "step: 0.5 is not a whole number"),
        ("{type: float, low: 0, high: 1, step: 1.0e-300}", "step 1e-300 is too small"),
        ("{type: float, low: -1.0e+308, high: 1.0e+308}", "is too wide a range"),
        ("{type: float, low: .nan, high: 1}", "low: nan is not a finite number"),
        ("{type: float, low: 0, high: .inf}", "high: inf is not a finite number"),
        ("{type: float, low: 0, high: 0x" + "f" * 400 + "}", "is not a finite number"),
        ("{type: int, low: 0, high: 0x" + "f" * 20 + "}", "is too large; allowed: -2^53 to 2^53"),
        ("{type: float, low: true, high: 2}", "low: true is not a number"),
        ("{type: float, low: null, high: 2}", "low: null is not a number"),
        ("{type: float, low: 1e-4, high: 1}", "'1e-4' is a string, not a number"),
        ("{type: float, low: 1e-4, high: 1}", "write 1.0e-4"),
        ("{type: float, low: 0, high: 1.5e3}", "write 1.5e+3"),
        ("{type: float, low: '0.1', high: 1}", "write 0.1 without quotes"),
        ("{type: float, low: tiny, high: 1}", "low: 'tiny' is a string, not a number"),
        ("{type: int, low: 1.0, high: 2}", "low: 1.0 is not a whole number"),
        ("{type: categorical}", "choices is missing"),
        ("{type: categorical, choices: []}", "choices: the list is empty"),
        ("{type: categorical, choices: relu}", "choices: 'relu' is not a list"),
        ("{type: categorical, choices: [a, b, a]}", "choices: 'a' stands twice"),
        ("{type: categorical, choices: [1, true]}", "choices: true stands twice"),
        ("{type: categorical, choices: [[1, 2]]}", "choices: [1, 2] is neither a string, a number"),
        ("{type: categorical, choices: [1e-4, 1e-3]}", "write 1.0e-4"),
        ("{type: categorical, choices: [.inf]}", "inf is not a finite number"),
        ("{type: categorical, values: [a]}", "values go with no type, float or int, not with"),
        ("{values: []}", "values: the list is empty"),
        ("{values: [1, 1.0]}", "values: 1.0 stands twice"),
        ("{values: [1], low: 0}", "unknown key 'low'; allowed: values"),
        ("{type: float, values: [a]}", "values: 'a' is a string, not a number"),
        ("{type: int, values: [1.5]}", "values: 1.5 is not a whole number"),
        ("{type: null, values: [1.5]}", "not with null"),
        ("{type: channels, layers: 3}", "choices is missing"),
        ("{type: channels, choices: [8, 16]}", "layers is missing"),
        ("{type: channels, choices: [8], layers: 3}", "choices: one is too few; allowed: two"),
        ("{type: channels, choices: [8, 8], layers: 3}", "choices: 8 stands twice"),
        ("{type: channels, choices: [8, 16.0], layers: 3}", "choices: 16.0 is not a whole number"),
        ("{type: channels, choices: [0, 8], layers: 3}", "choices: 0 is not positive"),
        ("{type: channels, choices: [8, 16], layers: 0}", "layers: 0 is not positive"),
        ("{type: channels, choices: [8, 16], layers: 1000}", "layers: 1000 is too many"),
        ("{type: channels, choices: [8, 16], layers: 3, step: 1}", "unknown key 'step'"),
        ("null", "null is no value; allowed: a value, or a map with a type"),
        ("[]", "the list is empty; allowed: one entry or more"),
        ("[[1], [2]]", "[1] is neither a string, a number, true, false nor null"),
        ("1e-4", "write 1.0e-4"),
        (".nan", "nan is not a finite number"),
        ("2020-01-01", "is neither a string, a number, true, false nor null"),
    ],
)
def test_a_wrong_parameter_is_refused_with_its_name(
    tmp_path: Path, written: str, said: str
) -> None:
    message = refusal(write(tmp_path, f"{HEAD}parameters:\n  rate: {written}\n"))
    assert message.startswith("parameters: rate: ")
    assert said in message


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "learning-rate",
            "'learning-rate' is not a parameter's name; allowed: letters, digits and _",
        ),
        ("2nd", "'2nd' is not a parameter's name"),
        ("''", "'' is not a parameter's name"),
        ("größe", "is not a parameter's name"),
        ("a" * 101, "is not a parameter's name"),
        ("yes", "true is not a parameter's name"),
        ("3", "3 is not a parameter's name"),
        ("lambda", "parameters: lambda: a word of Python's own; choose another"),
    ],
)
def test_a_wrong_name_of_a_parameter_is_refused(tmp_path: Path, name: str, said: str) -> None:
    assert said in refusal(write(tmp_path, f"{HEAD}parameters:\n  {name}: 1\n"))


@pytest.mark.parametrize("other", ["c_0: 1", "c_1: {type: int, low: 0, high: 1}", "C: 1"])
@pytest.mark.parametrize("first", [True, False])
def test_names_that_collide_in_the_database_are_refused(
    tmp_path: Path, other: str, first: bool
) -> None:
    both = ["c: {type: channels, choices: [8, 16], layers: 2}", other]
    lines = "".join(f"  {line}\n" for line in (both if first else reversed(both)))
    message = refusal(write(tmp_path, f"{HEAD}parameters:\n{lines}"))
    assert "collides with parameter" in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("- architecture: net\n", "is not a map of keys and values"),
        ("net", "'net' is not a map"),
        ("parameters: {}", "either architecture (one name) or architectures (a map)"),
        (HEAD + "architectures: {}\nparameters: {}", "either architecture (one name) or"),
        (HEAD, "parameters is missing"),
        (HEAD + "parameters:\n", "parameters: null is not a map"),
        (HEAD + "parameters: [a]\n", "parameters: ['a'] is not a map"),
        ("architecture: \nparameters: {}", "architecture: null is not a line of text"),
        ("architecture: [a]\nparameters: {}", "architecture: ['a'] is not a line of text"),
        ('architecture: "a\\nb"\nparameters: {}', "architecture: 'a\\nb' is not a line of text"),
        (PLAIN + "trainning: {}", "unknown key 'trainning'; did you mean training?"),
        (PLAIN + "1: {}", "unknown key 1; allowed: architecture"),
        (PLAIN + "training: 25", "training: 25 is not a map"),
        (PLAIN + "training: {epoch: 3}", "training: unknown key 'epoch'; did you mean epochs?"),
        (PLAIN + "training: {epochs: 0}", "training: epochs: 0 is not positive"),
        (PLAIN + "training: {epochs: 2.5}", "training: epochs: 2.5 is not a whole number"),
        (PLAIN + "training: {epochs: }", "training: epochs: null is not a number"),
        (PLAIN + "training: {batch_size: true}", "training: batch_size: true is not a number"),
        (PLAIN + "training: {batch_size: -100}", "training: batch_size: -100 is not positive"),
        (PLAIN + "known: {rate: 0.5}", "known: {'rate': 0.5} is not a list of configurations"),
        (PLAIN + "known: [0.5]", "known[0]: 0.5 is not a map"),
        (PLAIN + "known: [{rate: 0.5}, {rate: 2}]", "known[1]: parameter rate: 2.0 is outside 0.0"),
        (PLAIN + "known: [{}]", "known[0]: missing: rate"),
        (PLAIN + "known: [{rate: 0.1, width: 9}]", "known[0]: parameter width: 9 is not its fixed"),
        (PLAIN + "known: [{rate: 0.1, depth: 9}]", "known[0]: unknown parameter 'depth'"),
        (PLAIN + "reported: 0.05", "reported: 0.05 is not a map"),
        (PLAIN + "reported: {test_error: 0.1}", "reported: source is missing"),
        (PLAIN + "reported: {source: 3, test_error: 0.1}", "reported: source: 3 is not a line"),
        (PLAIN + "reported: {source: T}", "reported: test_error is missing"),
        (PLAIN + "reported: {source: T, test_error: 5.2}", "test_error: 5.2 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, test_error: -0.1}", "test_error: -0.1 is outside 0 to 1"),
        (PLAIN + "reported: {source: T, test_error: 0.1, std: x}", "std: 'x' is a string"),
        (PLAIN + "reported: {source: T, test_error: 0.1, n: 0}", "reported: n: 0 is not positive"),
        (PLAIN + "reported: {source: T, test_error: 0.1, runs: 3}", "unknown key 'runs'"),
        (
            PLAIN + "reported: {source: T, test_error: 0.1, hyperparameters: {a: {b: 1}}}",
            "hyperparameters: a: {'b': 1} is neither a string",
        ),
        (
            PLAIN + "reported: {source: T, test_error: 0.1, hyperparameters: {a-b: 1}}",
            "hyperparameters: 'a-b' is not a parameter's name",
        ),
    ],
)
def test_a_wrong_section_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("architecture: net\n  parameters: {", "line 2, column 13: mapping values are not allowed"),
        ("architecture: [net\n", "line 2, column 1: while parsing a flow sequence"),
        ("a: \tb: c\n", "line 1, column"),
        ("a: {b: 1}\nc: {b: 1,\n    b: 2}\n", "line 3, column 5: the key 'b' stands twice"),
        (PLAIN + HEAD, "line 3, column 1: the key 'architecture' stands twice"),
        ("a: &x [1]\nb: 2\n", "line 1, column 4: anchors and aliases"),
        ("a: *x\n", "line 1, column 4: anchors and aliases"),
        ("a: !!python/name:os.system x\n", "line 1, column 4: tags (!) are not allowed"),
        ("a: !!float b\n", "line 1, column 4: tags (!) are not allowed"),
        ("? [a]\n: 1\n", "line 1, column 3"),
        ("a: 1\n---\nb: 2\n", "expected a single document"),
        ("[" * 100_000, "line 1, column 21: nested more than 20 levels deep"),
        ("a: [" + "1, " * 20_000 + "]", "more than 10000 values"),
        ("a: " + "9" * 5_000, "line 1, column 4: a value is longer than 1000 characters"),
        ("a: 2020-99-99\n", "not YAML: month must be in 1..12"),
        ("a: \x00\n", "not YAML: unacceptable character #x0000"),
    ],
)
def test_what_is_not_plain_yaml_is_refused_with_line_and_column(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refusal(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(tmp_path / "missing.yaml")
    assert "cannot be read: Is a directory" in refusal(tmp_path)
    assert "cannot be read: File name too long" in refusal(tmp_path / ("a" * 300))
    with pytest.raises(RecipeError, match="cannot be read"):
        read(tmp_path / "a\0b")


def test_a_file_of_another_encoding_or_size_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, b"architecture: n\xe9t")).startswith("not UTF-8 text (byte 15)")
    assert "larger than 1 MB" in refusal(write(tmp_path, PLAIN + "#" * 1_000_000))


def test_a_file_name_with_a_line_break_still_gives_one_line(tmp_path: Path) -> None:
    path = tmp_path / "two\nlines.yaml"
    with pytest.raises(RecipeError) as caught:
        read(path)
    assert "\n" not in str(caught.value)


# --- what comes with the package


def test_a_bundled_recipe_is_found_by_its_architecture_and_no_other() -> None:
    found = bundled("non-siamese")
    assert found is not None
    assert found.architecture == "non-siamese"
    assert bundled("no-such-net") is None


def test_no_architecture_has_two_bundled_recipes() -> None:
    names = [name for path in bundled_files() for name in architectures(path)]
    assert {"baseline", "non-siamese", "siamese"} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "architecture", [name for path in bundled_files() for name in architectures(path)]
)
def test_every_bundled_recipe_starts_its_search_from_a_known_configuration(
    architecture: str,
) -> None:
    recipe = bundled(architecture)
    assert recipe is not None
    assert recipe.known
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for configuration in recipe.known:
        study.enqueue_trial(recipe.space.encode(configuration))
        drawn = study.ask(recipe.space.distributions()).params
        assert recipe.space.decode(drawn) == configuration


@pytest.mark.parametrize(
    ("architecture", "accuracy", "std", "learning_rate", "channels"),
    [
        ("baseline", 0.827, 0.013, 0.0025, [32, 64, 128]),
        ("non-siamese", 0.918, 0.016, 0.0025, [32, 64, 128]),
        ("siamese", 0.948, 0.010, 0.005, [64, 128, 256]),
    ],
)
def test_the_recipes_of_report_004_say_what_its_table_says(
    architecture: str, accuracy: float, std: float, learning_rate: float, channels: list[int]
) -> None:
    recipe = bundled(architecture)
    assert recipe is not None
    assert recipe.reported is not None
    assert (recipe.epochs, recipe.batch_size) == (25, 100)
    assert recipe.reported.source == "004, Table I"
    assert recipe.reported.test_error == pytest.approx(1 - accuracy)
    assert (recipe.reported.std, recipe.reported.n) == (std, 15)
    own = {"learning_rate": learning_rate, "weight_decay": 0.0, "channels": channels}
    if architecture != "baseline":
        own |= {"dropout": 0.25, "aux_weight": 1.0, "merge": "concatenate"}
    assert recipe.reported.hyperparameters == own
    assert recipe.known[0] == own | {"weight_decay": 1e-7}
    assert set(recipe.space.names) == set(own)


def test_the_space_of_report_004_holds_its_channels_and_what_it_tried() -> None:
    recipe = bundled("siamese")
    assert recipe is not None
    assert recipe.space.to_json() == {
        "learning_rate": {"type": "float", "low": 1e-4, "high": 3e-2, "log": True},
        "weight_decay": {"type": "float", "low": 1e-7, "high": 1e-1, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.6},
        "channels": {"type": "channels", "choices": CHOICES, "layers": 3},
        "aux_weight": {"type": "float", "low": 0.0, "high": 3.0},
        "merge": {"type": "categorical", "choices": ["concatenate", "difference", "maximum"]},
    }
