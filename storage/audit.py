"""Checking that Optuna's tables and hpo's say the same about a study.

A worker writes to both sets of tables in one commit. So they differ only if another program wrote
to them, or if the database lost data. All rows are read as they were at one moment, so that
workers that work meanwhile cause no findings.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa
from optuna.trial import TrialState

from storage import optuna_tables
from storage.engine import Database
from storage.errors import StudyMissingError
from storage.tables import IN_OPTUNA, AnyRow, hpo_claims, hpo_studies, hpo_trainings


STATES = {
    "live": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Optuna's state of a trial, by the `state` of its work."""


@dataclass(frozen=True, kw_only=True)
class _StudyRows:
    """The rows of one study in Optuna's and hpo's tables; `trainings` by the id of the claim."""

    study: AnyRow
    optuna_trials: list[AnyRow]
    trials: list[AnyRow]
    test_runs: list[AnyRow]
    trainings: dict[int, list[AnyRow]]

    @property
    def complete(self) -> set[int]:
        """The numbers of the complete trials."""
        return {work.trial for work in self.trials if work.state == "complete"}


def differences(db: Database, study_id: int, *, n_folds: int) -> list[str]:
    """The contradictions between the tables, one line each; empty if there are none.

    Raises:
        StudyMissingError: the study was deleted.
    """
    with _snapshot(db) as connection:
        rows = _read(connection, study_id)
    return [
        *_wrong_numbers(rows),
        *_wrong_outcomes(rows),
        *_wrong_folds(rows.trials, rows, n_folds),
        *_wrong_folds(rows.test_runs, rows, 1),
        *_wrong_test_runs(rows),
        *_wrong_choice(rows),
    ]


@contextlib.contextmanager
def _snapshot(db: Database) -> Iterator[sa.Connection]:
    """A connection that sees the database as it is at the first query."""
    with db.reading() as connection:
        db.backend.begin_snapshot(connection)
        yield connection


def _read(connection: sa.Connection, study_id: int) -> _StudyRows:
    study = connection.execute(
        sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id, IN_OPTUNA)
    ).first()
    if study is None:
        raise StudyMissingError("the study was deleted")
    query = sa.select(hpo_claims).where(hpo_claims.c.study_id == study_id).order_by(hpo_claims.c.id)
    work = connection.execute(query).all()
    return _StudyRows(
        study=study,
        optuna_trials=optuna_tables.trials_of(connection, study_id),
        trials=[row for row in work if row.kind == "trial"],
        test_runs=[row for row in work if row.kind == "test"],
        trainings=_trainings(connection, study_id),
    )


def _trainings(connection: sa.Connection, study_id: int) -> dict[int, list[AnyRow]]:
    query = (
        sa.select(hpo_trainings.c.claim_id, hpo_trainings.c.fold, hpo_trainings.c.token)
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
    )
    by_claim: dict[int, list[AnyRow]] = defaultdict(list)
    for row in connection.execute(query):
        by_claim[row.claim_id].append(row)
    return by_claim


def _wrong_numbers(rows: _StudyRows) -> Iterator[str]:
    """Each trial number that was given out must be once in both sets of tables, others never."""
    n_started, n_trials = rows.study.n_started, rows.study.n_trials
    if n_started > n_trials:
        yield f"{n_started} trials were started, but the study should have {n_trials}"
    counts = {
        "Optuna's": Counter(trial.number for trial in rows.optuna_trials),
        "hpo's": Counter(work.trial for work in rows.trials),
    }
    for whose, count in counts.items():
        for number in sorted(count.keys() | set(range(n_started))):
            if count[number] == 0:
                yield f"trial {number} is missing in {whose} tables"
            elif number not in range(n_started):
                yield f"trial {number} in {whose} tables was never given out"
            elif count[number] > 1:
                yield f"trial {number} occurs {count[number]} times in {whose} tables"


def _wrong_outcomes(rows: _StudyRows) -> Iterator[str]:
    """A trial must have the same id, state and error in both sets of tables."""
    optuna_trials = {trial.number: trial for trial in rows.optuna_trials}
    for work in rows.trials:
        if (trial := optuna_trials.get(work.trial)) is None:
            continue
        error = work.error if work.state in ("complete", "pruned") else None
        pairs = (
            ("Optuna's id", work.trial_id, trial.trial_id),
            ("the state", STATES[work.state].name, trial.state.name),
            ("the error", error, optuna_tables.value_of(trial)),
        )
        for name, hpos, optunas in pairs:
            if hpos != optunas:
                yield f"trial {work.trial}: {name} is {hpos} in hpo's tables, {optunas} in Optuna's"


def _wrong_folds(pieces: Iterable[AnyRow], rows: _StudyRows, n_folds: int) -> Iterator[str]:
    """Each fold of finished work must be recorded once, by the last worker that held the work."""
    for work in pieces:
        trainings = rows.trainings.get(work.id, [])
        folds = sorted(training.fold for training in trainings)
        # A pruned trial may have been stopped before its last folds began.
        n_done = min(max(1, len(folds)), n_folds) if work.state == "pruned" else n_folds
        expected = list(range(n_done)) if work.state in ("complete", "pruned") else []
        if folds != expected:
            yield f"{_name(work)} is {work.state} with trainings of the folds {folds}"
        if any(training.token != work.token for training in trainings):
            yield f"{_name(work)} has trainings by another worker than the last that held it"


def _name(work: AnyRow) -> str:
    trial = f"trial {work.trial}"
    return trial if work.kind == "trial" else f"test run {work.part} of {trial}"


def _wrong_test_runs(rows: _StudyRows) -> Iterator[str]:
    """A test run must be of a complete trial, and each seed must be there once."""
    for name, n in Counter(map(_name, rows.test_runs)).items():
        if n > 1:
            yield f"{name} occurs {n} times in hpo's tables"
    for work in rows.test_runs:
        if work.trial not in rows.complete:
            yield f"{_name(work)}: that trial is not complete"


def _wrong_choice(rows: _StudyRows) -> Iterator[str]:
    if rows.study.choice is not None and rows.study.choice not in rows.complete:
        yield f"the chosen trial {rows.study.choice} is not complete"
