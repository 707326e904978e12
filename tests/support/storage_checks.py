"""What must hold of every study that has come to its end, whatever its workers went through."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Row

from storage import studies
from storage.claims import Plan
from storage.engine import Database
from storage.tables import hpo_claims, hpo_studies, hpo_trainings
from tests.support.databases import fresh_database, server_url
from tests.support.storage_worker import N_FOLDS, error_of


STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


@contextmanager
def shared_database(backend: str, folder: Path) -> Iterator[Database]:
    """A database that the tests of a module share, each with studies of its own."""
    if backend == "sqlite":
        db = Database(f"sqlite:///{folder / 'hpo.db'}", create=True)
        yield db
        db.close()
        return
    with fresh_database(server_url(backend)) as url:
        db = Database(url, create=True)
        yield db
        db.close()


def url_of(db: Database) -> str:
    """The URL by which another process opens the same database."""
    return db.url.render_as_string(hide_password=False)


def work_rows(db: Database, study_id: int, kind: str = "trial") -> list[Row[tuple[object, ...]]]:
    """Our rows of the study's work of one kind, in order."""
    query = sa.select(hpo_claims).where(
        hpo_claims.c.study_id == study_id, hpo_claims.c.kind == kind
    )
    with db.reading() as connection:
        return list(connection.execute(query.order_by(hpo_claims.c.trial, hpo_claims.c.part)).all())


def check_finished(db: Database, study_id: int, plan: Plan, n_trials: int) -> None:
    """Check a study that is over.

    Raises:
        AssertionError: work was lost, done twice, or the two sets of tables differ.
    """
    rows = work_rows(db, study_id)
    trials = db._rdb.get_all_trials(study_id)  # past the cache
    check_budget(db, study_id, n_trials)
    assert [row.trial for row in rows] == list(range(n_trials))
    assert [trial.number for trial in trials] == list(range(n_trials))
    for row, trial in zip(rows, trials, strict=True):
        check_trial(row, trial)
    for trial, known in zip(trials, plan.planned, strict=False):
        assert trial.params == known or trial.state == TrialState.FAIL
    check_test_runs(db, study_id, plan)
    check_trainings(db, study_id)


def check_budget(db: Database, study_id: int, n_trials: int) -> None:
    """Every number of the budget was given out, once."""
    query = sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id)
    with db.reading() as connection:
        row = connection.execute(query).one()
    assert row.n_trials == row.n_started == n_trials


def check_trial(row: Row[tuple[object, ...]], trial: FrozenTrial) -> None:
    """Both stores tell the same of a trial, and only the last attempt's reports are left."""
    assert (row.trial, row.trial_id) == (trial.number, trial._trial_id)
    assert STATES[row.state] == trial.state
    if row.state == "failed":
        assert trial.value is None
        assert row.failure
        return
    assert trial.value == row.error
    assert set(trial.params) == {"x", "y"}
    assert trial.params["y"] == 1 - trial.params["x"]
    assert trial.system_attrs["sampler"] == trial.user_attrs["by"]
    assert trial.intermediate_values == {
        epoch: error_of(trial.params["x"], row.token, epoch) for epoch in range(1, row.n_epochs + 1)
    }
    rungs = {key for key in trial.system_attrs if key.startswith("completed_rung_")}
    n_rungs = row.n_epochs
    assert rungs == {f"completed_rung_{rung}" for rung in range(n_rungs)}


def check_test_runs(db: Database, study_id: int, plan: Plan) -> None:
    """Each seed was measured once, for the best of the complete trials."""
    done = [(row.error, row.trial) for row in work_rows(db, study_id) if row.state == "complete"]
    best = [(min(done)[1], seed) for seed in range(plan.n_repeats)] if done else []
    rows = work_rows(db, study_id, "test")
    assert [(row.trial, row.part) for row in rows] == best
    assert {row.state for row in rows} <= {"complete"}


def check_trainings(db: Database, study_id: int) -> None:
    """Each fold was recorded once, by the worker and the attempt that finished the work."""
    query = (
        sa.select(
            hpo_trainings, hpo_claims.c.token.label("last"), hpo_claims.c.worker.label("finisher")
        )
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
    )
    with db.reading() as connection:
        rows = connection.execute(query).all()
    assert all(row.token == row.last and row.worker == row.finisher for row in rows)
    ended = [work for work in studies.work(db, study_id) if work.state != "failed"]
    folds = {"trial": N_FOLDS, "test": 1}
    expected = {(work.id, fold) for work in ended for fold in range(folds[work.kind])}
    assert Counter((row.claim_id, row.fold) for row in rows) == Counter(expected)
