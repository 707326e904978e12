"""A search tries no configuration twice while another is left."""

from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from hpo import protocol
from hpo.protocol import Protocol
from hpo.search import suggest as suggesting
from hpo.search.cma_es import GENERATION
from hpo.search.samplers import make_sampler, max_trials
from hpo.search.suggest import suggest, suggest_new


FLOAT = {"type": "float", "low": 1e-4, "high": 1e-1, "log": True}
STEPS = {"type": "float", "low": 0.0, "high": 0.6, "step": 0.1}
FOUR = {"learning_rate": {"values": [0.1, 0.2]}, "dropout": {"values": [0.1, 0.2]}}


def frozen(space: dict[str, Any], sampler: str = "tpe", **more: Any) -> Protocol:
    return protocol.make(
        architecture="siamese",
        dataset="digits",
        fingerprint="",
        train_size=60,
        test_size=40,
        space=space,
        sampler=sampler,
        **more,
    )


def search(of: Protocol, n_trials: int, error: float = 0.5) -> optuna.Study:
    """A search without training: the first trials fail, so that no sampler learns from them."""
    study, space = optuna.create_study(), of.search_space.distributions()
    for number in range(n_trials):
        trial = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
        params, notes = suggest_new(study, trial, of)
        for name, value in params.items():
            internal = space[name].to_internal_repr(value)
            study._storage.set_trial_param(trial._trial_id, name, internal, space[name])
        for name, note in notes.items():
            study._storage.set_trial_system_attr(trial._trial_id, name, note)
        state = TrialState.FAIL if number < 1 else TrialState.COMPLETE
        values = None if number < 1 else [error * (1 + sum(map(float, params.values())))]
        study._storage.set_trial_state_values(trial._trial_id, state, values)
    return study


def keys(study: optuna.Study, of: Protocol) -> list[object]:
    return [of.search_space.key(trial.params) for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_a_finite_space_is_searched_to_its_end(sampler: str) -> None:
    """TPE alone would draw the best of 14 again and again."""
    of = frozen(
        {"dropout": STEPS, "weight_decay": {"type": "float", "low": 0, "high": 1, "step": 1}},
        sampler,
    )
    assert max_trials(of) == 14
    assert len(set(keys(search(of, 14), of))) == 14


def test_a_study_of_an_older_version_draws_once() -> None:
    of = frozen(FOUR)
    older = of.model_copy(update={"version": 4})
    assert len(set(keys(search(older, 12), older))) < 12
    assert (max_trials(of), max_trials(older)) == (4, None)
    assert keys(search(older, 1), older) == keys(search(of, 1), of)


@pytest.mark.parametrize("sampler", ["tpe", "random", "cmaes"])
def test_the_first_draw_is_that_of_older_versions(sampler: str) -> None:
    of = frozen({"learning_rate": FLOAT, "weight_decay": FLOAT}, sampler)
    older = of.model_copy(update={"version": 4})
    assert keys(search(of, 15), of) == keys(search(older, 15), older)


def test_draws_of_one_trial_have_seeds_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """No configuration is new: all draws are made, and the notes are those of the last."""
    of = frozen({"learning_rate": FLOAT, "weight_decay": FLOAT}, "cmaes")
    study = search(of, 3)
    drawn = []

    def noted(*arguments: Any) -> Any:
        params, notes = suggest(*arguments)
        drawn.append(params)
        return params, notes | {"draw": len(drawn)}

    monkeypatch.setattr(suggesting, "suggest", noted)
    monkeypatch.setattr(suggesting, "_finished", lambda *arguments: Everything())
    trial = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
    params, notes = suggest_new(study, trial, of)
    assert len({str(each) for each in drawn}) == len(drawn) == suggesting.MAX_DRAWS == 20
    assert params == drawn[-1]
    assert notes == {GENERATION: 0, "draw": suggesting.MAX_DRAWS}


class Everything(set[Any]):
    """A set that has every member."""

    def __contains__(self, member: object) -> bool:
        return True


def test_floats_that_differ_by_rounding_are_one_configuration() -> None:
    space = frozen({"dropout": STEPS, "learning_rate": FLOAT}).search_space
    key = space.key({"dropout": 0.3, "learning_rate": 0.01})
    assert key == space.key({"dropout": 0.1 * 3, "learning_rate": 0.01 * (1 + 1e-15)})
    assert key != space.key({"dropout": 0.4, "learning_rate": 0.01})
    assert key != space.key({"dropout": 0.3, "learning_rate": 0.0100001})


def test_choices_of_another_type_are_other_configurations() -> None:
    space = frozen(
        {"initialization": {"type": "categorical", "choices": [1, "1", 1.5]}}
    ).search_space
    assert len({space.key({"initialization": choice}) for choice in (1, "1", 1.5)}) == 3


@pytest.mark.parametrize(
    ("space", "known", "most"),
    [
        ({"learning_rate": 0.1}, [], 1),
        (FOUR, [], 4),
        (FOUR, [{"learning_rate": 0.1, "dropout": 0.1}], 4),
        (FOUR, [{"learning_rate": 0.1, "dropout": 0.1}] * 3, 6),
        ({"learning_rate": FLOAT}, [], None),
        ({"channels": {"type": "channels", "choices": [2, 4], "layers": 3}}, [], 4),
    ],
)
def test_a_countable_space_limits_the_trials(
    space: dict[str, Any], known: list[dict[str, Any]], most: int | None
) -> None:
    assert max_trials(frozen(space, known=tuple(known))) == most


def test_make_sampler_keeps_the_seed_of_the_first_draw() -> None:
    of = frozen({"learning_rate": FLOAT}, "random")
    study = optuna.create_study()

    def first(**draw: int) -> float:
        trial = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
        study.sampler = make_sampler(of, 7, **draw)
        return float(suggest(study, trial, of.search_space.distributions())[0]["learning_rate"])

    assert first() == first(draw=0) != first(draw=1)
