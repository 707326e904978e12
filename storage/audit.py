"""Do Optuna's tables and ours tell the same story of a study?

What a worker writes is one commit in both, so they differ only where something else has written to
them, or a database has lost what it had. All of it is read as it stood at one moment: workers that
work meanwhile cause no findings.
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


@dataclass(frozen=True, kw_only=True)
class _Story:
    """All that both sets of tables say of one study."""

    study: AnyRow
    told: list[AnyRow]  # Optuna's trials
    trials: list[AnyRow]
    test_runs: list[AnyRow]
    trainings: dict[int, list[AnyRow]]  # by claim

    @property
    def complete(self) -> set[int]:
        """The numbers of the complete trials."""
        return {work.trial for work in self.trials if work.state == "complete"}


def differences(db: Database, study_id: int, *, n_folds: int) -> list[str]:
    """Where the tables contradict each other, a line each; none where they are consistent.

    Raises:
        StudyMissingError: the study was deleted.
    """
    with _one_moment(db) as connection:
        story = _read(connection, study_id)
    return [
        *_numbers(story),
        *_outcomes(story),
        *_folds(story.trials, story, n_folds),
        *_folds(story.test_runs, story, 1),
        *_test_runs(story),
        *_choice(story),
    ]


@contextlib.contextmanager
def _one_moment(db: Database) -> Iterator[sa.Connection]:
    """A connection that sees the database as it stands at its first question."""
    with db.reading() as connection:
        db.backend.begin_snapshot(connection)
        yield connection


def _read(connection: sa.Connection, study_id: int) -> _Story:
    study = connection.execute(
        sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id, IN_OPTUNA)
    ).first()
    if study is None:
        raise StudyMissingError("the study was deleted")
    work = sa.select(hpo_claims).where(hpo_claims.c.study_id == study_id).order_by(hpo_claims.c.id)
    recorded = (
        sa.select(hpo_trainings.c.claim_id, hpo_trainings.c.fold, hpo_trainings.c.token)
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
    )
    rows = connection.execute(work).all()
    by_claim: dict[int, list[AnyRow]] = defaultdict(list)
    for row in connection.execute(recorded):
        by_claim[row.claim_id].append(row)
    return _Story(
        study=study,
        told=optuna_tables.trials_of(connection, study_id),
        trials=[row for row in rows if row.kind == "trial"],
        test_runs=[row for row in rows if row.kind == "test"],
        trainings=by_claim,
    )


def _numbers(story: _Story) -> Iterator[str]:
    """Every number that was given out stands once in both, and no other does."""
    n_started, n_trials = story.study.n_started, story.study.n_trials
    if n_started > n_trials:
        yield f"{n_started} trials were started of a budget of {n_trials}"
    counts = {
        "Optuna's": Counter(trial.number for trial in story.told),
        "our": Counter(work.trial for work in story.trials),
    }
    for whose, counted in counts.items():
        for number in sorted(counted.keys() | set(range(n_started))):
            if counted[number] == 0:
                yield f"trial {number} is missing in {whose} tables"
            elif number not in range(n_started):
                yield f"trial {number} in {whose} tables was never given out"
            elif counted[number] > 1:
                yield f"trial {number} stands {counted[number]} times in {whose} tables"


def _outcomes(story: _Story) -> Iterator[str]:
    """A trial has one id, state and error in both."""
    told = {trial.number: trial for trial in story.told}
    for work in story.trials:
        if (trial := told.get(work.trial)) is None:
            continue
        error = work.error if work.state in ("complete", "pruned") else None
        pairs = (
            ("Optuna's id", work.trial_id, trial.trial_id),
            ("the state", STATES[work.state].name, trial.state.name),
            ("the error", error, optuna_tables.value_of(trial)),
        )
        for what, ours, optunas in pairs:
            if ours != optunas:
                yield f"trial {work.trial}: {what} is {ours} in our tables, {optunas} in Optuna's"


def _folds(pieces: Iterable[AnyRow], story: _Story, n_folds: int) -> Iterator[str]:
    """Each fold of finished work was recorded once, by the last who had it."""
    for work in pieces:
        own = story.trainings.get(work.id, [])
        folds = sorted(training.fold for training in own)
        # A pruned trial may have been stopped before it began the last ones.
        n_done = min(max(1, len(folds)), n_folds) if work.state == "pruned" else n_folds
        expected = list(range(n_done)) if work.state in ("complete", "pruned") else []
        if folds != expected:
            yield f"{_name(work)} is {work.state} with trainings of the folds {folds}"
        if any(training.token != work.token for training in own):
            yield f"{_name(work)} has trainings by another than the last who had it"


def _name(work: AnyRow) -> str:
    number = f"trial {work.trial}"
    return number if work.kind == "trial" else f"test run {work.part} of {number}"


def _test_runs(story: _Story) -> Iterator[str]:
    """Test runs are of complete trials, each seed once."""
    for name, n in Counter(map(_name, story.test_runs)).items():
        if n > 1:
            yield f"{name} stands {n} times in our tables"
    for work in story.test_runs:
        if work.trial not in story.complete:
            yield f"{_name(work)}: that trial is not complete"


def _choice(story: _Story) -> Iterator[str]:
    if story.study.choice is not None and story.study.choice not in story.complete:
        yield f"the chosen trial {story.study.choice} is not complete"
