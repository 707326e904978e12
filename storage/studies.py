"""The studies of a database: creating, reading, extending, pausing and deleting them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.study import StudyDirection
from sqlalchemy.engine import Connection

from storage import digests, optuna_tables, orphans, values
from storage.engine import Database
from storage.errors import StudyExistsError, StudyMissingError
from storage.leases import WorkKind
from storage.tables import (
    GIVEN_BACK,
    IN_OPTUNA,
    AnyRow,
    clock,
    hpo_claims,
    hpo_studies,
    hpo_trainings,
)


@dataclass(frozen=True, kw_only=True)
class StudyRow:
    """A study as it is in the database.

    study_id: Optuna's id of the study.
    protocol: the protocol that was frozen when the study was created, as JSON.
    n_trials: the number of trials to start in all.
    n_started: the number of trials that were started.
    choice: the number of the chosen trial; None before the choice.
    created_at: seconds since 1970.
    """

    study_id: int
    name: str
    protocol: str
    n_trials: int
    n_started: int
    choice: int | None
    created_at: float
    is_paused: bool


@dataclass(frozen=True, kw_only=True)
class WorkRow:
    """One piece of work as it is in the database.

    part: the seed of a test run; `NO_PART` for a trial.
    state: live, complete, pruned or failed.
    n_epochs: the number of epochs done, for a trial the mean over the folds.
    error: the error as a fraction; None while the work is unfinished, and if the work failed.
    since_s: seconds since the work was last claimed.
    is_silent: whether the work is live and its lease has run out.
    is_given_back: whether the work is live and its last worker gave it back.
    """

    id: int
    kind: WorkKind
    trial: int
    part: int
    trial_id: int
    state: str
    n_attempts: int
    worker: str
    n_epochs: int
    n_parameters: int | None
    error: float | None
    failure: str | None
    since_s: float
    is_silent: bool
    is_given_back: bool

    @property
    def seed(self) -> int:
        """The seed of a test run."""
        return self.part

    @property
    def is_held(self) -> bool:
        """Whether a worker holds the work, even if the worker's lease has run out."""
        return self.state == "live" and not self.is_given_back


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One recorded training.

    error: the error after the last epoch, a fraction.
    curve: the error after each epoch, as fractions.
    train_s: the seconds of training.
    versions: the package versions, as JSON.
    """

    claim_id: int
    fold: int
    error: float
    curve: tuple[float, ...]
    train_s: float
    versions: str


def add(db: Database, name: str, protocol: str, n_trials: int) -> int:
    """Create a study in Optuna's and hpo's tables; its id.

    Raises:
        StudyExistsError: a study of hpo or of another program has this name.
    """
    with creating(db, name, [StudyDirection.MINIMIZE]) as (connection, study_id):
        fixed = {"name": name, "protocol": protocol, "digest": digests.of_protocol(protocol)}
        budget = {"n_trials": n_trials, "n_started": 0, "created_at": clock()}
        connection.execute(sa.insert(hpo_studies).values(study_id=study_id, **fixed, **budget))
    return study_id


@contextlib.contextmanager
def creating(
    db: Database, name: str, directions: Sequence[StudyDirection]
) -> Iterator[tuple[Connection, int]]:
    """A transaction in which Optuna's row of a new study exists, and the study's id.

    The caller writes hpo's row in this transaction.

    Raises:
        StudyExistsError: a study of hpo or of another program has this name.
        OrphanError: records of hpo have this name whose study in Optuna's tables is gone.
    """
    try:
        with db.errors_translated(), db.transaction() as connection:
            orphans.check_name(connection, name)
            study_id = db.optuna.create_new_study(directions, name)
            orphans.make_room(connection, study_id)
            yield connection, study_id
    except optuna.exceptions.DuplicatedStudyError as error:
        raise exists_already(db, name) from error


def exists_already(db: Database, name: str) -> StudyExistsError:
    """The error that the name of a new study is taken."""
    return StudyExistsError(
        f"a study named {name!r} exists already in {db.name}; choose another name"
    )


def get(db: Database, name: str) -> StudyRow:
    """The study of this name.

    Raises:
        StudyMissingError: the database has no study of this name.
    """
    with db.reading() as connection:
        row = connection.execute(_STUDY.where(hpo_studies.c.name == name, IN_OPTUNA)).first()
        if row is None or row.name != name:  # MariaDB ignores case in names
            raise orphans.missing(connection, db, name)
    db.note_study(row.study_id, row.created_at)
    return StudyRow(**row._mapping)


def all_studies(db: Database) -> list[StudyRow]:
    """All studies, the oldest first."""
    with db.reading() as connection:
        rows = connection.execute(_STUDY.where(IN_OPTUNA).order_by(hpo_studies.c.study_id)).all()
    for row in rows:
        db.note_study(row.study_id, row.created_at)
    return [StudyRow(**row._mapping) for row in rows]


def work(db: Database, study_id: int) -> list[WorkRow]:
    """All work of the study that was ever claimed: trials by number, then test runs by seed.

    Raises:
        ValueError: a row is damaged.
    """
    live = hpo_claims.c.state == "live"
    derived = (
        (clock() - hpo_claims.c.claimed_at).label("since_s"),
        sa.and_(live, hpo_claims.c.expires_at < clock()).label("is_silent"),
        sa.and_(live, hpo_claims.c.expires_at == GIVEN_BACK).label("is_given_back"),
    )
    columns = [hpo_claims.c[name] for name in WorkRow.__dataclass_fields__ if name in hpo_claims.c]
    query = (
        sa.select(*columns, *derived)
        .where(hpo_claims.c.study_id == study_id)
        .order_by(hpo_claims.c.kind.desc(), hpo_claims.c.trial, hpo_claims.c.part)
    )
    with db.reading() as connection:
        rows = connection.execute(query).all()
    return [_work(row._asdict()) for row in rows]


def census(db: Database) -> dict[tuple[str, WorkKind, str], int]:
    """The number of pieces of work by study, kind and state.

    The state of live work is `silent` if its lease has run out, `waiting` if it was given back, and
    otherwise `running`.
    """
    live = sa.case(
        (hpo_claims.c.expires_at == GIVEN_BACK, "waiting"),
        (hpo_claims.c.expires_at < clock(), "silent"),
        else_="running",
    )
    state = sa.case((hpo_claims.c.state == "live", live), else_=hpo_claims.c.state).label("state")
    query = (
        sa.select(hpo_studies.c.name, hpo_claims.c.kind, state, sa.func.count())
        .join(hpo_claims, hpo_claims.c.study_id == hpo_studies.c.study_id)
        .where(IN_OPTUNA)
        .group_by(hpo_studies.c.name, hpo_claims.c.kind, state)
    )
    with db.reading() as connection:
        rows = connection.execute(query).all()
    return {(name, kind, state): n for name, kind, state, n in rows}


def _work(columns: dict[str, Any]) -> WorkRow:
    values.check(values.WORK, columns)
    flags = {name: bool(columns[name]) for name in ("is_silent", "is_given_back")}
    since_s = max(0.0, columns["since_s"])  # below 0 after the database's clock was set back
    return WorkRow(**(columns | flags | {"since_s": since_s}))


def curves(db: Database, study_id: int) -> list[Curve]:
    """Every recorded training of the study, by piece of work and fold.

    Raises:
        ValueError: a row is damaged.
    """
    columns = [hpo_trainings.c[name] for name in Curve.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
        .order_by(hpo_trainings.c.claim_id, hpo_trainings.c.fold)
    )
    with db.reading() as connection:
        rows = connection.execute(query).all()
    return [_curve(row._asdict()) for row in rows]


def _curve(columns: dict[str, Any]) -> Curve:
    values.check(values.TRAINING, columns)
    return Curve(**(columns | {"curve": values.parse_curve(columns["curve"])}))


def best_curves(db: Database, study_id: int) -> list[tuple[float, ...]] | None:
    """The error curve of each fold of the best complete trial; None if no trial is complete.

    Raises:
        ValueError: a curve is damaged.
    """
    of_study = (hpo_claims.c.study_id == study_id, hpo_claims.c.kind == "trial")
    best = (
        sa.select(hpo_claims.c.id)
        .where(*of_study, hpo_claims.c.state == "complete")
        .order_by(hpo_claims.c.error, hpo_claims.c.trial)
        .limit(1)
    )
    folds = sa.select(hpo_trainings.c.curve).order_by(hpo_trainings.c.fold)
    with db.reading() as connection:
        claim_id = connection.execute(best).scalar_one_or_none()
        if claim_id is None:
            return None
        rows = connection.execute(folds.where(hpo_trainings.c.claim_id == claim_id))
        return [values.parse_curve(row.curve) for row in rows]


def parameters(db: Database, study_id: int) -> dict[int, dict[str, Any]]:
    """The parameters of each trial, by trial number, with Optuna's names and values.

    Raises:
        StudyMissingError: the study was deleted.
    """
    try:
        with db.errors_translated():
            trials = db.optuna.get_all_trials(study_id, deepcopy=False)
    except KeyError as error:  # what Optuna raises for an unknown study
        raise StudyMissingError("the study was deleted") from error
    return {trial.number: dict(trial.params) for trial in trials}


def extend(db: Database, name: str, n_trials: int) -> None:
    """Raise a study's number of trials.

    The best trial is chosen again when the new trials have ended.

    Raises:
        StudyMissingError: the database has no study of this name.
        ValueError: the new number of trials is below the present number.
    """
    with db.errors_translated(), db.transaction() as connection:
        row = locked(connection, db, name)
        if n_trials < row.n_trials:
            raise ValueError(f"the number cannot be lowered; the study has {row.n_trials}")
        changes: dict[str, int | None] = {"n_trials": n_trials}
        if n_trials > row.n_trials:
            changes["choice"] = None
        is_this_study = hpo_studies.c.study_id == row.study_id
        connection.execute(sa.update(hpo_studies).where(is_this_study).values(changes))


def set_paused(db: Database, name: str, is_paused: bool) -> None:
    """Pause or resume a study.

    Workers finish the work that they hold. They claim no new work of a paused study.

    Raises:
        StudyMissingError: the database has no study of this name.
    """
    with db.errors_translated(), db.transaction() as connection:
        is_this_study = hpo_studies.c.study_id == locked(connection, db, name).study_id
        connection.execute(sa.update(hpo_studies).where(is_this_study).values(is_paused=is_paused))


def delete(db: Database, name: str) -> None:
    """Delete a study and all its rows from Optuna's and hpo's tables.

    Raises:
        StudyMissingError: the database has no study of this name.
    """
    with db.errors_translated(), db.transaction() as connection:
        study_id = locked(connection, db, name).study_id
        orphans.delete_rows(connection, study_id)
        optuna_tables.delete_study(connection, study_id)
    db.clear_cache()


def locked(connection: Connection, db: Database, name: str) -> AnyRow:
    """The study's row, locked until the transaction ends.

    `storage.claims` takes the same lock. The lock is not stronger, because a worker that
    records a result holds the claim's row and needs a shared lock on the study's key.

    Raises:
        StudyMissingError: the database has no study of this name.
    """
    query = _STUDY.where(hpo_studies.c.name == name, IN_OPTUNA).with_for_update(key_share=True)
    row = connection.execute(query).first()
    if row is None or row.name != name:
        raise orphans.missing(connection, db, name)
    return row


def _names(columns: Sequence[str]) -> list[sa.Column[Any]]:
    return [hpo_studies.c[name] for name in columns]


_STUDY = sa.select(*_names(list(StudyRow.__dataclass_fields__)))
