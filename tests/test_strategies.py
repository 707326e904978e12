"""The samplers that are not just Optuna's."""

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler

from hpo.objective import draw
from hpo.strategies import Tpe


SPACE: dict[str, BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "merge": CategoricalDistribution(("concatenate", "difference")),
    "fixed": FloatDistribution(0.5, 0.5),
    "dropout": FloatDistribution(0.0, 0.6),
}


@pytest.mark.parametrize("n_trials", [0, 1, 9, 10, 40])
def test_tpe_that_is_told_the_space_draws_what_optuna_s_own_draws(n_trials: int) -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(n_trials):
        asked = study.ask(SPACE)
        study.tell(asked, asked.params["rate"] + asked.params["dropout"])
    for seed in range(5):
        drawn = []
        for sampler in (TPESampler(seed=seed), Tpe(seed, SPACE)):
            study.sampler = sampler
            trial = study._storage.get_trial(study._storage.create_new_trial(study._study_id))
            drawn.append(draw(study, trial, SPACE))
            study._storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.FAIL)
        assert drawn[0] == drawn[1]
        assert drawn[0].keys() == SPACE.keys()
