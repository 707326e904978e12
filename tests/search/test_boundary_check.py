"""Edges that the best trials crowd: what counts as one, and that chance seldom makes one."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
import scipy.stats
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from hpo.search.boundary_check import CrowdedEdge, crowded_edges
from search_spaces.space import SearchSpace
from tests.support.tiny_studies import must, tiny_flags, write_recipe


Trials = list[tuple[dict[str, Any], float]]

RATE = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
CHANNELS = {"type": "channels", "choices": [8, 16, 32, 64, 128, 256], "layers": 3}


def best_first(*values: Any) -> Trials:
    """Trials of one parameter, `x`, whose errors grow in the order that is given."""
    return [({"x": value}, 0.1 + 0.001 * place) for place, value in enumerate(values)]


def ask(space: SearchSpace, sampler: BaseSampler, errors: list[float]) -> Trials:
    """A search by a sampler of Optuna's, told these errors one after the other."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=sampler)
    trials = []
    for error in errors:
        trial = study.ask(space.distributions())
        study.tell(trial, error)
        trials.append((space.decode(trial.params), error))
    return trials


def chance(n: int, of: int, share: float) -> float:
    """The chance of so many draws or more where `share` of them is expected."""
    return float(scipy.stats.binomtest(n, of, share, alternative="greater").pvalue)


def found_in(form: object, trials: Trials) -> list[CrowdedEdge]:
    return crowded_edges(SearchSpace.from_json({"x": form}), trials)


def crowded_at(form: object, there: Any, elsewhere: list[Any]) -> list[CrowdedEdge]:
    """What is found where 6 trials at one value are better than 24 at others."""
    return found_in(form, best_first(*[there] * 6, *elsewhere * (24 // len(elsewhere))))


def the_edge(side: str, value: float, layer: int | None = None) -> list[dict[str, Any]]:
    """The one finding of `crowded_at`, as plain values."""
    place = {"parameter": "x", "layer": layer, "edge": side, "value": value}
    return [place | {"n_there": 6, "n_best": 6}]


class TestWhatAnEdgeIs:
    @pytest.mark.parametrize(
        ("form", "there", "elsewhere", "side", "end"),
        [
            ({"type": "float", "low": 0.0, "high": 0.6}, 0.55, [0.1, 0.3], "high", 0.6),
            ({"type": "float", "low": 0.0, "high": 0.6}, 0.05, [0.1, 0.3], "low", 0.0),
            (RATE, 0.06, [0.001, 0.01], "high", 0.1),
            (RATE, 1.5e-4, [0.001, 0.01], "low", 1e-4),
            ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}, 1.0, [0.5], "high", 1.0),
            ({"type": "int", "low": 1, "high": 3}, 3, [1, 2], "high", 3),
            ({"type": "int", "low": 1, "high": 40}, 37, [36, 20], "high", 40),
            ({"type": "int", "low": 16, "high": 256, "step": 16}, 16, [32, 64], "low", 16),
            ({"type": "int", "low": 1, "high": 100, "log": True}, 60, [50, 10, 2], "high", 100),
            ({"type": "int", "low": 1, "high": 100, "log": True}, 1, [2, 10, 50], "low", 1),
            ({"values": [2, 0.5, 1]}, 2, [0.5, 1], "high", 2),
            ({"type": "int", "values": [8, 16, 64]}, 8, [16, 64], "low", 8),
        ],
    )
    def test_the_outer_tenth_or_the_outermost_value(
        self, form: object, there: float, elsewhere: list[float], side: str, end: float
    ) -> None:
        found = crowded_at(form, there, elsewhere)
        assert [vars(each) for each in found] == the_edge(side, end)

    @pytest.mark.parametrize(
        ("form", "there", "elsewhere"),
        [
            ({"type": "float", "low": 0.0, "high": 0.6}, 0.5, [0.1, 0.3]),
            (RATE, 0.04, [0.001, 0.01]),
            (RATE, 3e-4, [0.001, 0.01]),
            ({"type": "float", "low": 0.0, "high": 1.0, "step": 0.25}, 0.75, [0.5]),
            ({"type": "int", "low": 1, "high": 40}, 36, [5, 20]),
            ({"values": [2, 0.5, 1]}, 1, [0.5, 2]),
        ],
    )
    def test_the_next_value_is_none(self, form: object, there: float, elsewhere: Any) -> None:
        assert crowded_at(form, there, elsewhere) == []

    @pytest.mark.parametrize(
        ("form", "there", "elsewhere"),
        [
            ({"type": "categorical", "choices": ["relu", "tanh", "elu"]}, "elu", ["relu", "tanh"]),
            ({"type": "categorical", "choices": [1, 2, 3]}, 3, [1, 2]),
            ({"values": ["few", 2, 3, 4]}, 4, [2, "few"]),
            ({"values": [False, 2, 3, 4]}, 4, [2, False]),
        ],
    )
    def test_words_have_no_order_and_so_no_edge(
        self, form: object, there: Any, elsewhere: list[Any]
    ) -> None:
        assert crowded_at(form, there, elsewhere) == []

    @pytest.mark.parametrize(
        ("form", "there", "elsewhere"),
        [
            ({"type": "int", "low": 1, "high": 2}, 2, [1]),
            ({"type": "int", "low": 1, "high": 2, "log": True}, 2, [1]),
            ({"values": [0.1, 0.2]}, 0.2, [0.1]),
            ({"type": "float", "low": 0.0, "high": 0.5, "step": 0.5}, 0.5, [0.0]),
            ({"type": "channels", "choices": [2, 4], "layers": 1}, [4], [[2]]),
        ],
    )
    def test_two_values_are_nothing_but_edges(
        self, form: object, there: Any, elsewhere: list[Any]
    ) -> None:
        assert crowded_at(form, there, elsewhere) == []

    @pytest.mark.parametrize(
        "form",
        [
            0.25,
            [8, 16],
            {"type": "float", "low": 0.5, "high": 0.5},
            {"type": "int", "low": 3, "high": 3},
            {"type": "int", "low": 2**53 - 1, "high": 2**53, "log": True},
        ],
    )
    def test_a_range_without_a_length_has_none(self, form: Any) -> None:
        value = form["high"] if isinstance(form, dict) else form
        assert crowded_at(form, value, [value]) == []

    def test_each_layer_of_channels_has_its_own(self) -> None:
        """That the last layer is among the widest is no news yet: 42 % of random draws are so."""
        found = crowded_at(CHANNELS, [32, 256, 256], [[8, 16, 32], [16, 64, 128], [8, 32, 64]])
        assert [vars(each) for each in found] == the_edge("high", 256, layer=1)

    def test_edges_come_in_the_order_of_the_space(self) -> None:
        space = SearchSpace.from_json({"b": RATE, "c": RATE, "a": RATE})
        there, elsewhere = {"a": 1e-4, "b": 1e-1, "c": 1e-2}, {"a": 1e-2, "b": 1e-3, "c": 1e-3}
        trials = [(there if n < 8 else elsewhere, 0.01 * n) for n in range(40)]
        found = [(each.parameter, each.edge) for each in crowded_edges(space, trials)]
        assert found == [("b", "high"), ("a", "low")]


class TestHowManyItTakes:
    @pytest.mark.parametrize(("n", "n_best"), [(10, 5), (29, 5), (30, 6), (100, 20)])
    def test_the_best_are_a_fifth_and_at_least_five(self, n: int, n_best: int) -> None:
        (found,) = found_in(RATE, best_first(*[0.09] * n_best, *[0.01] * (n - n_best)))
        assert (found.n_there, found.n_best) == (n_best, n_best)

    def test_nine_complete_trials_are_too_few(self) -> None:
        assert found_in(RATE, best_first(*[0.09] * 5, *[0.01] * 4)) == []

    def test_pruned_trials_count_as_worse_than_all_complete_ones(self) -> None:
        """Under Hyperband few trials are complete, and most that are pruned lie elsewhere."""
        form = {"type": "float", "low": 0.0, "high": 0.6}
        complete = best_first(*[0.58] * 6, *[0.2] * 2)
        pruned: Trials = [({"x": 0.01 * value}, math.inf) for value in range(42)]
        assert found_in(form, complete) == []
        assert [each.n_best for each in found_in(form, complete + pruned)] == [8]
        assert found_in(form, complete[:4] + pruned) == [], "four complete trials are too few"

    def test_the_order_of_the_trials_does_not_matter(self) -> None:
        trials = best_first(*[0.09] * 6, *[0.01] * 24)
        shuffled = random.Random(0).sample(trials, len(trials))
        assert found_in(RATE, shuffled) == found_in(RATE, trials) != []

    def test_errors_that_are_all_equal_say_nothing(self) -> None:
        assert found_in(RATE, [(params, 0.5) for params, _ in best_first(*[0.09] * 30)]) == []
        trials = best_first(*[0.09] * 6, *[0.01] * 24)
        assert found_in(RATE, [(params, 0.5) for params, _ in trials]) == []

    def test_where_all_trials_lie_is_no_finding(self) -> None:
        assert found_in(RATE, best_first(*[0.09] * 30)) == []

    def test_many_trials_with_few_of_the_best_do_not_crowd(self) -> None:
        """At 1,000 trials a share of a quarter is no chance, but most of the best are elsewhere."""
        trials = best_first(*[0.01] * 150, *[0.09] * 50, *[0.01] * 800)
        assert chance(50, 200, 0.1) < 1e-6
        assert found_in(RATE, trials) == []

    def test_where_the_search_gathered_only_errors_count(self) -> None:
        """Ten of twelve best trials would crowd an edge, but so do forty of the other 48."""
        gathered = best_first(*([0.09] * 5 + [0.01]) * 10)
        assert found_in(RATE, gathered) == []
        (found,) = found_in(RATE, best_first(*[0.09] * 50, *[0.01] * 10))
        assert (found.n_there, found.n_best) == (12, 12)

    @pytest.mark.parametrize(
        ("form", "there", "elsewhere", "is_there", "share", "n_edges"),
        [
            (RATE, 0.09, 0.01, lambda x: x >= 10**-1.3, 0.1, 2),
            ({"type": "int", "low": 1, "high": 5}, 5, 3, lambda x: x == 5, 1 / 5, 2),
            ({"values": [1, 2, 3]}, 1, 2, lambda x: x == 1, 1 / 3, 2),
            ({"type": "int", "low": 1, "high": 99, "log": True}, 1, 9, lambda x: x == 1, 0.208, 2),
            (CHANNELS, [8, 32, 32], [32] * 3, lambda x: x[0] == 8, 1 - (5 / 6) ** 3, 6),
            (CHANNELS, [32, 32, 256], [32] * 3, lambda x: x[2] == 256, 1 - (5 / 6) ** 3, 6),
            (CHANNELS, [16, 256, 256], [16, 32, 256], lambda x: x[1] == 256, 2 / 27, 6),
        ],
    )
    def test_the_threshold_is_that_of_a_binomial_test(
        self,
        form: object,
        there: Any,
        elsewhere: Any,
        is_there: Callable[[Any], bool],
        share: float,
        n_edges: int,
    ) -> None:
        """So what is narrow by its nature, as a first layer is, is no news."""
        draws = ask(SearchSpace.from_json({"x": form}), RandomSampler(seed=0), [0.0] * 1500)
        assert sum(is_there(params["x"]) for params, _ in draws) / 1500 == pytest.approx(
            share, abs=0.03
        )
        needed = next(n for n in range(7, 21) if chance(n, 20, share) <= 0.01 / n_edges)
        for n in (needed - 1, needed):
            before, after = [elsewhere] * (20 - n), [elsewhere] * (60 + n)
            found = found_in(form, best_first(*before, *[there] * 20, *after))
            assert [each.n_there for each in found] == [n] * (n == needed)


class TestChance:
    """Of errors that are pure noise, whose searches have nothing to find."""

    SPACE = SearchSpace.from_json(
        {
            "learning_rate": RATE,
            "dropout": {"type": "float", "low": 0.0, "high": 0.6},
            "aux_weight": {"type": "float", "low": 0.0, "high": 3.0},
            "channels": CHANNELS,
        }
    )

    def test_random_draws_have_a_finding_in_one_study_of_a_hundred(self) -> None:
        noise = random.Random(0)
        drawn = ask(self.SPACE, RandomSampler(seed=0), [0.0] * 1500)
        studies = (
            [(params, noise.random()) for params, _ in noise.sample(drawn, 50)] for _ in range(1000)
        )
        assert sum(bool(crowded_edges(self.SPACE, trials)) for trials in studies) <= 10

    def test_nor_has_one_of_a_sampler_that_gathers_its_draws(self) -> None:
        """In a third of these studies a binomial test alone finds something."""
        n_found = 0
        for seed in range(20):
            noise = random.Random(seed)
            errors = [noise.random() for _ in range(50)]
            trials = ask(self.SPACE, TPESampler(seed=seed), errors)
            n_found += bool(crowded_edges(self.SPACE, trials))
        assert n_found <= 1


RECIPE = """\
architecture: tests.chaos.network:Constant
parameters: {x: {type: float, low: 1.0e-12, high: 1.0e-2, log: true}}
known: [{x: 1.0e-12}]
"""
"""A network whose error is x."""


def test_a_study_says_which_end_of_a_range_to_widen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of 29 random draws lie near the lower end; the known one is not counted."""
    monkeypatch.chdir(tmp_path)
    flags = tiny_flags(
        space=write_recipe(tmp_path, RECIPE),
        trials=30,
        sampler="random",
        pruner="none",
        seed=4,
        dataset="tests.chaos.network:Points",
        train_size=None,
        test_size=None,
        epochs=1,
        repeats=1,
    )
    architecture = "tests.chaos.network:Constant"
    must("study", "create", "--architecture", architecture, "--name", "low", *flags)
    assert json.loads(must("study show low --json"))["edges"] == []
    must("worker --study low --processes 1")

    shown = json.loads(must("study show low --json"))
    (edge,) = shown["edges"]
    place = {"parameter": "x", "layer": None, "edge": "low", "value": 1e-12}
    assert edge == place | {"n_there": edge["n_there"], "n_best": 5}
    assert edge["n_there"] >= 4
    assert json.loads(must("study list --json")) == [shown]

    last = must("study show low").splitlines()[-1]
    words = f"{edge['n_there']} of the best 5 trials near its lower end 1e-12"
    assert last == f"at an edge  x: {words}; widen the range if possible"
