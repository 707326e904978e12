"""Laws that every search space keeps, whatever its parameters."""

import json
import keyword
from typing import Any

import optuna
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import (
    distribution_to_json,
    json_to_distribution,
)

from search_spaces.space import SearchSpace
from tests.search_spaces.test_space import space


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


@given(spaces(anything))
def test_the_centre_lies_in_the_space(made: SearchSpace) -> None:
    assert made.decode(made.encode(made.centre)) == made.centre


@given(channels, st.integers(0, 2**31))
def test_sampled_channels_never_decrease(written: dict[str, Any], seed: int) -> None:
    made = space(channels=written)
    decoded = made.decode(sampled(made, seed))["channels"]
    assert decoded == sorted(decoded)
    assert len(decoded) == written["layers"]
    assert set(decoded) <= set(written["choices"])


@given(spaces(countable, size=2))
def test_the_points_are_counted_distinct_and_in_the_space(
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
