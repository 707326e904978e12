"""The rule of the choice: the lowest mean error, where repeats of one configuration are one."""

import dataclasses

import pytest

from storage.choice import Candidate, best_of
from storage.engine import Database
from storage.leases import Result, record
from tests.support.storage_worker import (
    give_parameters,
    make_plan,
    must_claim,
    new_study,
    training,
)


@pytest.mark.parametrize(
    ("candidates", "choice"),
    [
        ([], None),
        ([(0, 0.3, "a"), (1, 0.2, "b"), (2, 0.4, "c")], (1, 0.2)),
        ([(1, 0.2, "b"), (0, 0.2, "a")], (0, 0.2)),
        ([(0, 0.3, "a"), (1, 0.1, "a"), (2, 0.15, "b")], (2, 0.15)),  # a repeat is lucky
        ([(3, 0.1, "a"), (1, 0.2, "a"), (2, 0.4, "b")], (1, 0.15)),  # the first repeat stands
        ([(0, 1e308, "a"), (1, 1e308, "a"), (2, 1.5e308, "b")], (0, 1e308)),
    ],
)
def test_the_lowest_mean_error_is_chosen(
    candidates: list[tuple[int, float, str]], choice: tuple[int, float] | None
) -> None:
    chosen = best_of(Candidate(*each) for each in candidates)
    if choice is None:
        assert chosen is None
    else:
        assert chosen is not None
        assert (chosen.trial, round(chosen.error, 9)) == choice


def test_trials_with_one_configuration_are_one_candidate(sqlite_db: Database) -> None:
    """The first two are repeats: the lucky one of them is no better than the third trial."""
    same = {"x": 0.5, "y": 0.5}
    plan = make_plan(planned=(same, same, {"x": 0.25, "y": 0.75}))
    by_axis = dataclasses.replace(plan, key=lambda params: params["x"])
    chosen = {}
    for name, of in (("each", plan), ("by axis", by_axis)):
        study_id = new_study(sqlite_db, 3)
        for error in (0.4, 0.1, 0.2):
            held = must_claim(sqlite_db, study_id, of)
            give_parameters(sqlite_db, held)
            trainings = [training(0, [error])]
            record(sqlite_db, held, Result(outcome="complete", error=error, trainings=trainings))
        chosen[name] = must_claim(sqlite_db, study_id, of).trial
    assert chosen == {"each": 1, "by axis": 2}
