"""What a search promises whatever its sampler: ranges, order, budgets, and the same again."""

import functools
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import hpo
from hpo.studies.lifecycle import open_database, open_study
from hpo.studies.trials import list_trials
from hpo.workers.plan import make_plan
from storage import claims, leases, studies
from tests.support.tiny_studies import TINY, write_recipe


RECIPE = """\
architecture: siamese
parameters:
  learning_rate: {type: float, low: 1.0e-3, high: 1.0e-2, log: true}
  weight_decay: {type: float, low: 0.0, high: 0.1}
  channels: {type: channels, choices: [2, 4, 6], layers: 3}
  merge: {type: categorical, choices: [concatenate, difference]}
  aux_weight: {type: float, low: 1.0, high: 1.0}
known:
  - {learning_rate: 0.005, weight_decay: 0.0, channels: [2, 4, 6], merge: difference, aux_weight: 1}
"""
GRID = """\
architecture: siamese
parameters:
  learning_rate: {values: [0.001, 0.01]}
  channels: {type: channels, choices: [2, 4], layers: 3}
known:
  - {learning_rate: 0.01, channels: [2, 2, 4]}
"""
KNOWN = {
    "learning_rate": 0.005,
    "weight_decay": 0.0,
    "channels": [2, 4, 6],
    "merge": "difference",
    "aux_weight": 1.0,
}
CENTRE = {
    "learning_rate": pytest.approx(0.001 * 10**0.5),
    "weight_decay": 0.05,
    "channels": [4, 4, 4],
    "merge": "concatenate",
    "aux_weight": 1.0,
}


def run_study(folder: Path, recipe: str, **settings: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """A study from creation to its end by one worker: its trials and all recorded curves."""
    storage = f"sqlite:///{folder / 'hpo.db'}"
    space = write_recipe(folder, recipe)
    hpo.create_study("siamese", storage=storage, space=space, **(TINY | settings))
    hpo.run_worker("siamese", storage=storage)
    db = open_database(storage)
    study = open_study(db, "siamese")
    curves = [(c.claim_id, c.fold, c.curve) for c in studies.curves(db, study.id)]
    trials = list_trials(db, study)
    db.close()
    return trials, curves


def run_sampler(folder: Path, sampler: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """A study of more trials than the ten at random that a sampler begins with."""
    return run_study(folder, RECIPE, sampler=sampler, trials=13, epochs=1, repeats=1)


@pytest.fixture(scope="module")
def searched(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], tuple[list[dict[str, Any]], list[Any]]]:
    """Gives what a sampler's study has recorded, which is run once for all tests that ask."""
    return functools.cache(lambda sampler: run_sampler(tmp_path_factory.mktemp("once"), sampler))


@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes"])
def test_every_sampler_fills_the_budget_inside_the_ranges(
    searched: Callable[[str], tuple[list[dict[str, Any]], list[Any]]], sampler: str
) -> None:
    trials, _ = searched(sampler)
    assert [trial["number"] for trial in trials] == list(range(13))
    assert {trial["state"] for trial in trials} <= {"complete", "pruned"}
    assert [trials[0]["params"], trials[1]["params"]] == [KNOWN, CENTRE]
    for params in (trial["params"] for trial in trials):
        assert 1e-3 <= params["learning_rate"] <= 1e-2
        assert 0.0 <= params["weight_decay"] <= 0.1
        assert params["channels"] == sorted(params["channels"])
        assert set(params["channels"]) <= {2, 4, 6}
        assert params["merge"] in ("concatenate", "difference")
        assert params["aux_weight"] == 1.0
    assert len({str(trial["params"]) for trial in trials}) == 13


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes"])
def test_one_worker_repeats_a_search_bit_for_bit(
    searched: Callable[[str], tuple[list[dict[str, Any]], list[Any]]], tmp_path: Path, sampler: str
) -> None:
    """A sampler reads the history after its random start, so this holds all of it together."""
    runs = [
        ([trial["params"] for trial in trials], curves)
        for trials, curves in (searched(sampler), run_sampler(tmp_path, sampler))
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("sampler", "note"),
    [("tpe", "tpe:relative_params:0"), ("gp", "gp:relative_params:0"), ("cmaes", "cma:generation")],
)
def test_sampler_notes_reach_the_next_draws(tmp_path: Path, sampler: str, note: str) -> None:
    """Without them TPE and GP draw beside running trials, and CMA-ES never leaves generation 0."""
    settings = {"sampler": sampler, "pruner": "none", "trials": 13, "epochs": 1, "repeats": 1}
    run_study(tmp_path, RECIPE, **settings)
    with closing(open_database(f"sqlite:///{tmp_path / 'hpo.db'}")) as db:
        trials = db.optuna.get_all_trials(studies.get(db, "siamese").study_id)
    assert note in trials[-1].system_attrs


def test_another_seed_gives_other_configurations_and_curves(tmp_path: Path) -> None:
    runs = []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        trials, curves = run_study(folder, RECIPE, seed=seed, trials=3)
        runs.append((trials[2]["params"], curves[0]))
    assert runs[0][0] != runs[1][0]
    assert runs[0][1] != runs[1][1]


def test_a_grid_is_searched_once_the_known_point_first(tmp_path: Path) -> None:
    trials, _ = run_study(tmp_path, GRID, sampler="grid", pruner="none", epochs=1, repeats=1)
    points = [(trial["params"]["learning_rate"], *trial["params"]["channels"]) for trial in trials]
    channels = [(2, 2, 2), (2, 2, 4), (2, 4, 4), (4, 4, 4)]
    assert sorted(points) == sorted((rate, *each) for rate in (0.001, 0.01) for each in channels)
    assert points[:2] == [(0.01, 2, 2, 4), (0.001, 2, 2, 2)], "then the centre"


def test_a_centre_is_tried_once_or_where_unwanted_never(
    tmp_path: Path,
) -> None:
    known = RECIPE.replace("0.005, weight_decay: 0.0, channels: [2, 4, 6], merge: difference", "{}")
    middle = "0.0031622776601683794, weight_decay: 0.05, channels: [4, 4, 4], merge: concatenate"
    tried = []
    for name, settings in (("twice", {}), ("never", {"centre": False})):
        (tmp_path / name).mkdir()
        recipe = known.replace("{}", middle) if name == "twice" else RECIPE
        trials, _ = run_study(tmp_path / name, recipe, trials=2, epochs=1, repeats=1, **settings)
        tried.append([trial["params"] == CENTRE for trial in trials])
    assert tried == [[True, False], [False, False]]


@pytest.mark.parametrize("pruner", ["forgiving", "hyperband", "median"])
def test_a_pruner_stops_trials_early_but_never_the_first_ones(tmp_path: Path, pruner: str) -> None:
    trials, _ = run_study(tmp_path, RECIPE, pruner=pruner, trials=12, epochs=6, repeats=1)
    pruned = [trial for trial in trials if trial["state"] == "pruned"]
    assert [trials[0]["state"], trials[1]["state"]] == ["complete", "complete"]
    assert pruned
    assert all(trial["n_epochs"] < 6 and trial["validation_error"] > 0 for trial in pruned)
    assert all(trial["n_epochs"] == 6 for trial in trials if trial["state"] == "complete")


def test_only_the_lowest_validation_error_is_tested(
    tmp_path: Path,
) -> None:
    trials, _ = run_study(tmp_path, RECIPE, pruner="none", trials=6)
    assert [trial["n_epochs"] for trial in trials] == [TINY["epochs"]] * 6, "nothing is pruned"
    storage = f"sqlite:///{tmp_path / 'hpo.db'}"
    db = open_database(storage)
    tested = {w.trial for w in studies.work(db, open_study(db, "siamese").id) if w.kind == "test"}
    db.close()
    lowest = min(trials, key=lambda trial: (trial["validation_error"], trial["number"]))
    assert tested == {lowest["number"]}
    best = hpo.show_study("siamese", storage).best
    assert best is not None
    assert (best.trial, best.validation_error) == (lowest["number"], lowest["validation_error"])


def test_a_trial_taken_over_gives_the_same_curves(
    tmp_path: Path,
) -> None:
    """The first attempt has its parameters and a reported epoch when its worker falls silent."""
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = run_study(tmp_path / "whole", RECIPE, trials=1, lease_s=0.2)
    storage = f"sqlite:///{tmp_path / 'cut' / 'hpo.db'}"
    space = write_recipe(tmp_path / "cut", RECIPE)
    study = hpo.create_study(
        "siamese", storage=storage, space=space, **(TINY | {"trials": 1, "lease_s": 0.2})
    )
    db = open_database(storage)
    claimed = claims.claim(db, study.id, make_plan(study.protocol), "a worker that dies")
    assert isinstance(claimed, leases.Claim)
    leases.report(db, claimed, n_epochs=1, errors={1: 0.123})
    db.close()
    hpo.run_worker("siamese", storage=storage)
    db = open_database(storage)
    trials = list_trials(db, study)
    curves = [(c.claim_id, c.fold, c.curve) for c in studies.curves(db, study.id)]
    db.close()
    assert curves == whole[1]
    assert trials[0]["n_attempts"] == 2
    assert trials[0]["params"] == whole[0][0]["params"]
