"""Samplers, and how they are asked."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler

from hpo.search.cma_es import GENERATION, CmaEs
from hpo.search.samplers import Tpe
from hpo.search.suggest import suggest
from storage import studies
from storage.engine import Database
from storage.errors import StudyMissingError
from tests.support.storage_checks import url_of
from tests.support.storage_worker import do, make_plan, must_claim, new_study


SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "merge": CategoricalDistribution(("concatenate", "difference")),
    "fixed": FloatDistribution(0.5, 0.5),
    "dropout": FloatDistribution(0.0, 0.6),
}


def searched(n_trials: int) -> optuna.Study:
    """A study with so many trials, drawn at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(n_trials):
        asked = study.ask(SPACE)
        study.tell(asked, asked.params["rate"] + asked.params["dropout"])
    return study


@pytest.mark.parametrize("n_trials", [0, 1, 9, 10, 40])
def test_tpe_told_the_space_draws_what_optuna_s_own_draws(n_trials: int) -> None:
    study = searched(n_trials)
    for seed in range(5):
        drawn = []
        for sampler in (TPESampler(seed=seed), Tpe(seed, SPACE)):
            study.sampler = sampler
            trial = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
            drawn.append(suggest(study, trial, SPACE)[0])
            study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        assert drawn[0] == drawn[1]
        assert drawn[0].keys() == SPACE.keys()


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize(
    ("make", "note"),
    [
        (lambda: Tpe(0, SPACE), "tpe:relative_params:0"),
        (lambda: GPSampler(seed=0), "gp:relative_params:0"),
        (lambda: CmaEs(0), GENERATION),
    ],
    ids=["tpe", "gp", "cmaes"],
)
def test_only_the_holder_of_a_trial_writes_sampler_notes(
    make: Callable[[], BaseSampler], note: str
) -> None:
    study = searched(10)
    study.sampler = make()
    trial_id = study._storage.create_new_trial(study._study_id)
    _, notes = suggest(study, study._storage.get_trial(trial_id), SPACE)
    assert notes.keys() == {note}
    assert study._storage.get_trial(trial_id).system_attrs == {}


def test_a_study_can_be_deleted_while_a_worker_draws(db: Database) -> None:
    study_id, plan = new_study(db, 11), make_plan(planned=())
    for _ in range(10):
        do(db, must_claim(db, study_id, plan))
    held = must_claim(db, study_id, plan)
    name = db.optuna.get_study_name_from_id(study_id)
    space: dict[str, BaseDistribution] = {axis: FloatDistribution(0.0, 1.0) for axis in "xy"}
    study = optuna.load_study(study_name=name, storage=db.optuna, sampler=Tpe(0, space))
    noted = []

    def draw_amid(*event: Any) -> None:
        """When Optuna knows by heart what there is to delete."""
        if event[2].startswith("DELETE FROM trials"):
            noted.append(suggest(study, db.optuna.get_trial(held.trial_id), space)[1])

    with closing(Database(url_of(db))) as other:
        sa.event.listen(other.engine, "before_cursor_execute", draw_amid)
        studies.delete(other, name)
    assert noted
    assert all(noted)
    with pytest.raises(StudyMissingError):
        studies.get(db, name)
