"""The studies of a database: entering, reading, extending, pausing and deleting them."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.study import StudyDirection
from sqlalchemy.engine import Connection

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
    """A study as it stands: `protocol` is the JSON that it was frozen as."""

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
    """One piece of work as it stands; times in seconds, `error` a fraction."""

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
    def is_held(self) -> bool:
        """Whether a worker has it, or had it when it was last heard of."""
        return self.state == "live" and not self.is_given_back


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One recorded training: its error after the last epoch and after each, as fractions."""

    claim_id: int
    fold: int
    error: float
    curve: tuple[float, ...]
    train_s: float
    versions: str


def add(db: Database, name: str, protocol: str, n_trials: int) -> int:
    """Enter a study, in Optuna's tables and ours together; gives Optuna's id of it.

    Raises:
        StudyExistsError: the name is taken, by a study of ours or another program's.
    """
    with entering(db, name, [StudyDirection.MINIMIZE]) as (connection, study_id):
        row = {"study_id": study_id, "name": name, "protocol": protocol}
        budget = {"n_trials": n_trials, "n_started": 0, "created_at": clock()}
        connection.execute(sa.insert(hpo_studies).values(row | budget))
    return study_id


@contextlib.contextmanager
def entering(
    db: Database, name: str, directions: Sequence[StudyDirection]
) -> Iterator[tuple[Connection, int]]:
    """A transaction in which Optuna's half of a new study stands; gives its id. Ours follows.

    Raises:
        StudyExistsError: the name is taken, by a study of ours or another program's.
    """
    try:
        with db.errors_translated(), db.transaction() as connection:
            study_id = db.optuna.create_new_study(directions, name)
            _clear_remains(connection, study_id, name)
            yield connection, study_id
    except optuna.exceptions.DuplicatedStudyError as error:
        raise StudyExistsError(
            f"a study named {name!r} exists already in {db.name}; choose another name"
        ) from error


def get(db: Database, name: str) -> StudyRow:
    """The study of that name.

    Raises:
        StudyMissingError: there is none.
    """
    with db.reading() as connection:
        row = connection.execute(_STUDY.where(hpo_studies.c.name == name, IN_OPTUNA)).first()
    if row is None or row.name != name:  # to MariaDB, names that differ only in case are one
        raise StudyMissingError(f"no study named {name!r} in {db.name}; see: hpo study list")
    db.meet(row.study_id, row.created_at)
    return StudyRow(**row._mapping)


def every(db: Database) -> list[StudyRow]:
    """All studies, the oldest first."""
    with db.reading() as connection:
        rows = connection.execute(_STUDY.where(IN_OPTUNA).order_by(hpo_studies.c.study_id)).all()
    for row in rows:
        db.meet(row.study_id, row.created_at)
    return [StudyRow(**row._mapping) for row in rows]


def work(db: Database, study_id: int) -> list[WorkRow]:
    """Every piece of the study's work that was ever claimed, trials by number, then test runs."""
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
    """How many pieces of work there are by study, kind and state.

    Live work is `running`, `silent` where its lease has run out, or `waiting` where it was given
    back.
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
    flags = {name: bool(columns[name]) for name in ("is_silent", "is_given_back")}
    return WorkRow(**(columns | flags))


def curves(db: Database, study_id: int) -> list[Curve]:
    """Every recorded training of the study, by piece of work and fold."""
    columns = [hpo_trainings.c[name] for name in Curve.__dataclass_fields__]
    query = (
        sa.select(*columns)
        .join(hpo_claims, hpo_claims.c.id == hpo_trainings.c.claim_id)
        .where(hpo_claims.c.study_id == study_id)
        .order_by(hpo_trainings.c.claim_id, hpo_trainings.c.fold)
    )
    with db.reading() as connection:
        rows = connection.execute(query).all()
    return [Curve(**(row._asdict() | {"curve": tuple(json.loads(row.curve))})) for row in rows]


def best_curves(db: Database, study_id: int) -> list[tuple[float, ...]] | None:
    """The error curve of each fold of the best complete trial; None before a trial is complete."""
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
        return [tuple(json.loads(row.curve)) for row in rows]


def parameters(db: Database, study_id: int) -> dict[int, dict[str, Any]]:
    """Each trial's parameters in Optuna's names and values, by trial number.

    Raises:
        StudyMissingError: the study was deleted.
    """
    try:
        with db.errors_translated():
            trials = db.optuna.get_all_trials(study_id, deepcopy=False)
    except KeyError as error:  # Optuna's word for it
        raise StudyMissingError("the study was deleted") from error
    return {trial.number: dict(trial.params) for trial in trials}


def extend(db: Database, name: str, n_trials: int) -> None:
    """Set a new, larger budget; the choice is made again when the search is over again.

    Raises:
        StudyMissingError: there is no such study.
        ValueError: the budget is smaller than the present one.
    """
    with db.errors_translated(), db.transaction() as connection:
        row = locked(connection, db, name)
        if n_trials < row.n_trials:
            raise ValueError(f"the study has {row.n_trials} trials; a budget is never lowered")
        grown = {"n_trials": n_trials}
        if n_trials > row.n_trials:
            grown["choice"] = None  # type: ignore[assignment]
        where = hpo_studies.c.study_id == row.study_id
        connection.execute(sa.update(hpo_studies).where(where).values(grown))


def set_paused(db: Database, name: str, is_paused: bool) -> None:
    """Give out no more of the study's work, or give it out again; what is under way goes on.

    Raises:
        StudyMissingError: there is no such study.
    """
    with db.errors_translated(), db.transaction() as connection:
        where = hpo_studies.c.study_id == locked(connection, db, name).study_id
        connection.execute(sa.update(hpo_studies).where(where).values(is_paused=is_paused))


def delete(db: Database, name: str) -> None:
    """Delete a study with all that was recorded for it, from Optuna's tables and ours.

    Raises:
        StudyMissingError: there is no such study.
    """
    with db.errors_translated(), db.transaction() as connection:
        study_id = locked(connection, db, name).study_id
        _delete_ours(connection, study_id)
        db.optuna.delete_study(study_id)


def _delete_ours(connection: Connection, study_id: int) -> None:
    of_study = sa.select(hpo_claims.c.id).where(hpo_claims.c.study_id == study_id)
    connection.execute(sa.delete(hpo_trainings).where(hpo_trainings.c.claim_id.in_(of_study)))
    connection.execute(sa.delete(hpo_claims).where(hpo_claims.c.study_id == study_id))
    connection.execute(sa.delete(hpo_studies).where(hpo_studies.c.study_id == study_id))


def _clear_remains(connection: Connection, study_id: int, name: str) -> None:
    """Drop what is left of a study that Optuna's dashboard deleted, before a new one stands there.

    Optuna may give the number of a deleted study out again.
    """
    remains = sa.select(hpo_studies.c.study_id).where(
        sa.or_(hpo_studies.c.study_id == study_id, hpo_studies.c.name == name)
    )
    for number in connection.execute(remains).scalars().all():
        _delete_ours(connection, number)


def locked(connection: Connection, db: Database, name: str) -> AnyRow:
    """The study's row, which nobody else changes before the transaction ends.

    As strong a lock as a claim's: one who records a result has the claim's row and asks for a share
    of the study's key.

    Raises:
        StudyMissingError: there is no such study.
    """
    query = _STUDY.where(hpo_studies.c.name == name, IN_OPTUNA).with_for_update(key_share=True)
    row = connection.execute(query).first()
    if row is None or row.name != name:
        raise StudyMissingError(f"no study named {name!r} in {db.name}; see: hpo study list")
    return row


def _names(columns: Sequence[str]) -> list[sa.Column[Any]]:
    return [hpo_studies.c[name] for name in columns]


_STUDY = sa.select(*_names(list(StudyRow.__dataclass_fields__)))
