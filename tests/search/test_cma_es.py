"""CMA-ES: finds what it should, from whatever trials there are, and loads nothing from a database.

The other samplers' studies are held to the last of these, too.
"""

import json
import pickle
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from cmaes import CMA
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

import hpo
from hpo.search.cma_es import GENERATION, CmaEs
from hpo.search.samplers import samplers
from tests.search.test_search import RECIPE
from tests.support.sources import imports, sources
from tests.support.tiny_studies import TINY, write_recipe


BOWL: dict[str, BaseDistribution] = {f"x{i}": FloatDistribution(-5.0, 5.0) for i in range(5)}
N_FIRST = 8
"""The population of five parameters."""


def height(params: dict[str, float]) -> float:
    """Lowest, 0, where all are 1.5."""
    return sum((value - 1.5) ** 2 for value in params.values())


def ask(study: optuna.Study, seed: int) -> optuna.Trial:
    study.sampler = CmaEs(seed)
    return study.ask(BOWL)


def search(n_trials: int) -> optuna.Study:
    study = optuna.create_study()
    for number in range(n_trials):
        trial = ask(study, seed=number)
        study.tell(trial, height(trial.params))
    return study


def test_it_closes_in_on_the_lowest_point() -> None:
    assert search(150).best_value < 0.5  # 150 random points are 3 to 6 high


def test_the_draw_is_that_of_an_optimizer_told_in_order() -> None:
    """The planned first trial is of no generation; what one has beyond its size does not count."""
    study = optuna.create_study()
    optimizer = CMA(np.full(5, 0.5), 1 / 6, bounds=np.tile([0.0, 1.0], (5, 1)), n_max_resampling=50)
    random = np.random.RandomState(0)
    add(study, [0.0] * 5, None)
    for generation in range(3):
        told = [random.rand(5) for _ in range(N_FIRST)]
        for unit in told:
            add(study, unit * 10 - 5, generation)
        add(study, [5.0] * 5, generation)
        optimizer.tell([(unit, height(named(unit * 10 - 5))) for unit in told])
    optimizer.reseed_rng(7)
    drawn = list(ask(study, seed=7).params.values())
    assert drawn == pytest.approx(optimizer.ask() * 10 - 5)


def named(values: Any) -> dict[str, float]:
    return dict(zip(BOWL, map(float, values), strict=True))


def add(study: optuna.Study, values: Any, generation: object) -> None:
    params = named(values)
    study.add_trial(
        optuna.trial.create_trial(
            params=params,
            distributions=BOWL,
            value=height(params),
            system_attrs={GENERATION: generation},
        )
    )


def test_pruned_failed_and_running_trials_are_passed_over() -> None:
    study = search(20)
    before = ask(study, seed=1).params  # running from now on
    for state in (TrialState.PRUNED, TrialState.FAIL):
        study.tell(ask(study, seed=2), state=state)
    assert ask(study, seed=1).params == before


def test_a_late_trial_does_not_change_earlier_generations() -> None:
    study = search(1)
    late = ask(study, seed=1)
    for seed in range(2, 2 + N_FIRST):
        trial = ask(study, seed)
        study.tell(trial, height(trial.params))
    before = ask(study, seed=100)
    study.tell(late, 0.0)
    after = ask(study, seed=100)
    assert study.trials[before.number].system_attrs[GENERATION] == 1
    assert after.params == before.params


@pytest.mark.parametrize("odd", ["0", [0], {"0": 0}, None, 1e999, -1])
def test_a_generation_that_is_none_is_passed_over(odd: object) -> None:
    study = search(1)
    for _ in range(N_FIRST):
        add(study, [5.0] * 5, odd)
    trial = ask(study, seed=1)
    assert study.trials[trial.number].system_attrs[GENERATION] == 0


def test_few_whole_numbers_and_equal_errors_do_no_harm() -> None:
    space: dict[str, BaseDistribution] = {"few": IntDistribution(0, 1), "n": IntDistribution(0, 2)}
    study = optuna.create_study()
    for number in range(200):
        study.sampler = CmaEs(number)
        study.tell(study.ask(space), 0.5)
    assert len(study.trials) == 200


@pytest.mark.short_on
@pytest.mark.chaos
def test_two_workers_fill_the_budget_between_pruned_trials(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    settings = TINY | {"epochs": 4, "repeats": 1, "pruner": "median"}
    space = write_recipe(tmp_path, RECIPE)
    hpo.create_study("siamese", storage=url, space=space, sampler="cmaes", trials=24, **settings)
    hpo.run_worker("siamese", storage=url, processes=2)
    trials = hpo.show_study("siamese", url).trials
    assert trials.complete + trials.pruned == 24
    assert trials.pruned > 0


class Bomb:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._path,)


@pytest.mark.parametrize("sampler", list(samplers))
def test_what_lies_in_the_database_is_never_run(tmp_path: Path, sampler: str) -> None:
    """As a study of an older version, or somebody with access to the database, leaves it there."""
    url = f"sqlite:///{tmp_path / 'hpo.db'}"
    settings = TINY | {"epochs": 2, "repeats": 1, "sampler": sampler}
    recipe = RECIPE if sampler != "grid" else RECIPE_OF_A_GRID
    space = write_recipe(tmp_path, recipe)
    hpo.create_study("siamese", storage=url, space=space, trials=3, **settings)
    hpo.run_worker("siamese", storage=url)
    bomb = pickle.dumps(Bomb(tmp_path / "executed"))
    plant(tmp_path / "hpo.db", bomb)
    hpo.extend_study("siamese", 5, url)
    hpo.run_worker("siamese", storage=url)
    trials = hpo.show_study("siamese", url).trials
    assert (trials.finished, trials.failed) == (5, 0)
    assert not (tmp_path / "executed").exists()
    pickle.loads(bomb)  # noqa: S301
    assert (tmp_path / "executed").exists()


RECIPE_OF_A_GRID = """\
architecture: siamese
parameters: {learning_rate: {values: [0.001, 0.002, 0.003, 0.01, 0.02]}, channels: [2, 2, 4]}
"""


def plant(path: Path, pickled: bytes) -> None:
    """Put it where Optuna's samplers keep or kept what they remember, and over what they left."""
    with closing(sqlite3.connect(path)) as connection:
        remembered = "SELECT trial_id, key, value_json FROM trial_system_attributes"
        for _, key, value in connection.execute(remembered).fetchall():
            assert isinstance(json.loads(value), (int, float, dict, str)), key
            assert "80049" not in value, f"{key} holds a pickle"
        for key in ("cma:optimizer:0", "sepcma:optimizer:0", "cmawm:optimizer:0"):
            connection.execute(
                "INSERT INTO trial_system_attributes (trial_id, key, value_json) "
                "SELECT trial_id, ?, ? FROM trials",
                (key, json.dumps(pickled.hex())),
            )
        connection.commit()


UNSAFE = ("pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib.load")
CALLS = ("torch.load(", "yaml.load(", "yaml.unsafe_load(", "yaml.full_load(", "allow_pickle=True")


@pytest.mark.parametrize("part", ["cli", "hpo", "search_spaces", "storage"])
def test_no_module_reads_what_could_hold_code(part: str) -> None:
    for path in sources(part):
        roots = {name.split(".")[0] for name in imports(path)} | set(imports(path))
        assert not roots.intersection(UNSAFE), path
        text = path.read_text()
        assert not [call for call in CALLS if call in text], path
        assert "CmaEsSampler(" not in text, path
