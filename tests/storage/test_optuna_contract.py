"""What we use of Optuna's storage though no documentation promises it.

An Optuna that changes any of it has to fail here, and not in a study.
"""

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.storages._rdb import models
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState

from storage.engine import Database
from storage.tables import clock, hpo_studies
from tests.support.storage_checks import url_of
from tests.support.storage_worker import new_study


class UndoneError(Exception):
    """Ends a transaction without a commit."""


class OptunasOwnContract(StorageTestCase):
    """Optuna's own tests of a storage, on the storage that we open; nobody pickles it."""

    test_pickle_storage = None  # type: ignore[assignment]

    @pytest.fixture
    def storage(self, db: Database) -> BaseStorage:
        """Our storage, emptied, with an empty cache."""
        for study in db.optuna.get_all_studies():
            db.optuna.delete_study(study._study_id)
        return optuna.storages.get_storage(db._rdb)


@pytest.mark.parametrize("db", ["sqlite", "postgresql"], indirect=True)
class TestOptunasOwnContract(OptunasOwnContract):
    """The whole of it."""


@pytest.mark.parametrize("db", ["mysql"], indirect=True)
class TestOptunasOwnContractInWholeSeconds(OptunasOwnContract):
    """MariaDB keeps no fractions of a second in Optuna's tables: without what compares them."""

    test_create_new_trial = None  # type: ignore[assignment]
    test_create_new_trial_with_template_trial = None  # type: ignore[assignment]
    test_get_trial = None  # type: ignore[assignment]
    test_get_all_trials = None  # type: ignore[assignment]


def write_to_both(db: Database, study_id: int, connection: sa.Connection) -> int:
    """Every kind of write that our transactions hold; gives the new trial's id."""
    trial_id = db.optuna.create_new_trial(study_id)
    db.optuna.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    db.optuna.set_trial_user_attr(trial_id, "note", "mine")
    db.optuna.set_trial_system_attr(trial_id, "completed_rung_0", 0.5)
    db.optuna.set_trial_intermediate_value(trial_id, 1, 0.5)
    db.optuna.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    ours = hpo_studies.c.study_id == study_id
    connection.execute(sa.update(hpo_studies).where(ours).values(n_started=1))
    return trial_id


def write_and_undo(db: Database, study_id: int) -> None:
    with db.transaction() as connection:
        write_to_both(db, study_id, connection)
        raise UndoneError


def stands(db: Database, study_id: int) -> tuple[int, list[TrialState]]:
    """What the database itself holds, ours and Optuna's."""
    fresh = Database(url_of(db))
    with fresh.reading() as connection:
        started = sa.select(hpo_studies.c.n_started).where(hpo_studies.c.study_id == study_id)
        n_started = connection.execute(started).scalar_one()
    states = [trial.state for trial in fresh.optuna.get_all_trials(study_id)]
    fresh.close()
    return n_started, states


def test_optunas_writes_commit_with_ours(db: Database) -> None:
    study_id = new_study(db, 1)
    with db.transaction() as connection:
        trial_id = write_to_both(db, study_id, connection)
    assert stands(db, study_id) == (1, [TrialState.COMPLETE])
    trial = db.optuna.get_trial(trial_id)
    assert (trial.params, trial.value, trial.intermediate_values) == ({"x": 0.5}, 0.5, {1: 0.5})


def test_optunas_writes_are_undone_with_ours(db: Database) -> None:
    study_id = new_study(db, 1)
    with pytest.raises(UndoneError):
        write_and_undo(db, study_id)
    assert stands(db, study_id) == (0, [])


def test_a_transaction_sees_what_optuna_wrote_in_it(db: Database) -> None:
    study_id = new_study(db, 1)
    with db.transaction() as connection:
        trial_id = db.optuna.create_new_trial(study_id)
        number = sa.select(models.TrialModel.number).where(models.TrialModel.trial_id == trial_id)
        assert connection.execute(number).scalar_one() == 0


def test_after_a_transaction_optuna_writes_by_itself_again(db: Database) -> None:
    study_id = new_study(db, 1)
    with pytest.raises(UndoneError), db.transaction():
        raise UndoneError
    db.optuna.create_new_trial(study_id)
    assert stands(db, study_id)[1] == [TrialState.RUNNING]


def test_optunas_tables_have_the_columns_that_we_name(db: Database) -> None:
    inspector = sa.inspect(db.engine)
    for model, columns in {
        models.StudyModel: {"study_id"},
        models.TrialModel: {"trial_id", "number"},
        models.TrialIntermediateValueModel: {"trial_id"},
        models.TrialSystemAttributeModel: {"trial_id", "key"},
    }.items():
        held = {
            column["name"] for column in inspector.get_columns(sa.inspect(model).local_table.name)
        }
        assert columns <= held
        assert all(hasattr(model, column) for column in columns)


@pytest.mark.parametrize(
    "pruner",
    [
        optuna.pruners.SuccessiveHalvingPruner(min_resource=1),
        optuna.pruners.HyperbandPruner(min_resource=1, max_resource=1),
    ],
    ids=["successive halving", "hyperband"],
)
def test_a_pruner_notes_its_rungs_under_the_key_that_we_forget(
    db: Database, pruner: optuna.pruners.BasePruner
) -> None:
    study = optuna.create_study(storage=db.optuna, pruner=pruner)
    trial = study.ask()
    trial.report(0.5, 1)
    trial.should_prune()
    notes = {key for key in db.optuna.get_trial(trial._trial_id).system_attrs if "rung" in key}
    assert notes
    assert all(key.startswith("completed_rung_") for key in notes)


def test_a_planned_trials_parameters_are_fixed_for_the_sampler(db: Database) -> None:
    study = optuna.create_study(storage=db.optuna)
    study.enqueue_trial({"x": 0.125})
    assert study.trials[0].system_attrs["fixed_params"] == {"x": 0.125}
    template = optuna.trial.create_trial(
        state=TrialState.RUNNING, system_attrs={"fixed_params": {"x": 0.25}}
    )
    trial = optuna.Trial(study, db.optuna.create_new_trial(study._study_id, template))
    assert trial.suggest_float("x", 0, 1) == 0.25


def test_the_cache_shows_what_another_worker_wrote(db: Database) -> None:
    study_id, other = new_study(db, 2), Database(url_of(db))
    assert db.optuna.get_all_trials(study_id) == []
    trial_id = other.optuna.create_new_trial(study_id)
    assert [trial.state for trial in db.optuna.get_all_trials(study_id)] == [TrialState.RUNNING]
    other.optuna.set_trial_param(trial_id, "x", 0.5, FloatDistribution(0, 1))
    other.optuna.set_trial_intermediate_value(trial_id, 1, 0.5)
    (trial,) = db.optuna.get_all_trials(study_id)
    assert (trial.params, trial.intermediate_values) == ({"x": 0.5}, {1: 0.5})
    other.optuna.set_trial_state_values(trial_id, TrialState.COMPLETE, [0.5])
    other.close()
    assert [trial.value for trial in db.optuna.get_all_trials(study_id)] == [0.5]


def test_the_clock_goes_on_within_a_transaction(db: Database) -> None:
    with db.transaction() as connection:
        first, later = (connection.execute(sa.select(clock())).scalar_one() for _ in range(2))
        while later == first:
            later = connection.execute(sa.select(clock())).scalar_one()
    assert 0 < later - first < 10
