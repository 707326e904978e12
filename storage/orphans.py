"""hpo's records of studies that Optuna's tables no longer have under the same id and name.

Another program can rename or delete a study in Optuna's tables: optuna-dashboard renames by making
a copy under the new name. hpo's records of it are then an orphan. An orphan keeps its name, and
nothing deletes it but `purge`. `take_up` joins it to Optuna's study again if that has another name
now. A database may give the id of a deleted study to a new one; the orphan then gets a negative id,
which Optuna never gives out.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import sqlalchemy as sa
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from storage import optuna_tables
from storage.engine import Database
from storage.errors import OrphanError, StudyExistsError, StudyMissingError
from storage.leases import OPTUNA_STATES
from storage.tables import GIVEN_BACK, IN_OPTUNA, AnyRow, hpo_claims, hpo_studies, hpo_trainings


Outcome: TypeAlias = tuple[TrialState, float | None]
"""Optuna's state of a trial, and its error if it has one."""


@dataclass(frozen=True, kw_only=True)
class Orphan:
    """The records of a study that Optuna's tables no longer have under its id and name.

    n_trials: the number of trials that were started.
    n_tests: the number of complete test runs.
    now_named: the name of a study in Optuna's tables that has the same trials; None if none has.
    """

    name: str
    n_trials: int
    n_tests: int
    now_named: str | None

    def __str__(self) -> str:
        remedy = f"remove them with: hpo storage purge {self.name} --yes"
        if self.now_named is not None:
            remedy = (
                f"join them to Optuna's study {self.now_named!r}, which has the same trials, with: "
                f"hpo study rename {self.name} {self.now_named}; or {remedy}"
            )
        return (
            f"the records of study {self.name!r} ({self.n_trials} trials, {self.n_tests} complete "
            "test runs) are kept, but another program deleted or renamed the study in Optuna's "
            f"tables; {remedy}"
        )


def all_orphans(db: Database) -> list[Orphan]:
    """All orphans of the database, by name."""
    query = sa.select(hpo_studies).where(sa.not_(IN_OPTUNA)).order_by(hpo_studies.c.name)
    with db.reading() as connection:
        return [_orphan(connection, row) for row in connection.execute(query).all()]


def find(connection: Connection, name: str) -> AnyRow | None:
    """hpo's row of the orphan of this name; None if there is none."""
    query = sa.select(hpo_studies).where(hpo_studies.c.name == name, sa.not_(IN_OPTUNA))
    return connection.execute(query).first()


def check_name(connection: Connection, name: str, *, except_id: int | None = None) -> None:
    """Check that no orphan has this name, apart from the one with the id `except_id`.

    Raises:
        OrphanError: an orphan has the name; the message says what to do.
    """
    if (row := find(connection, name)) is not None and row.study_id != except_id:
        raise OrphanError(str(_orphan(connection, row)))


def missing(connection: Connection, db: Database, name: str) -> StudyMissingError:
    """The error for a name that no study has; it tells of an orphan of that name."""
    if (row := find(connection, name)) is not None and row.name == name:
        return StudyMissingError(str(_orphan(connection, row)))
    return StudyMissingError(f"no study named {name!r} in {db.name}; see: hpo study list")


def make_room(connection: Connection, study_id: int) -> None:
    """Give the orphan that has the id of a new study of Optuna's a negative id."""
    query = sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id)
    if (row := connection.execute(query).first()) is not None:
        lowest = connection.execute(sa.select(sa.func.min(hpo_studies.c.study_id))).scalar_one()
        _move(connection, row, min(lowest, 0) - 1, row.name)


def purge(db: Database, name: str) -> None:
    """Delete hpo's records of an orphan. What Optuna's tables have stays.

    Raises:
        StudyMissingError: the database has no study and no orphan of this name.
        StudyExistsError: the study of this name is no orphan.
    """
    with db.errors_translated(), db.transaction() as connection:
        row = find(connection, name)
        if row is None or row.name != name:
            raise _not_an_orphan(connection, db, name)
        delete_rows(connection, row.study_id)


def take_up(connection: Connection, orphan: AnyRow, name: str) -> None:
    """Join an orphan to the study of Optuna's that has this name and the orphan's trials.

    Raises:
        StudyMissingError: Optuna has no study of this name.
        StudyExistsError: the study of this name has records of its own.
        OrphanError: the study of this name has other trials, or another orphan has the name.
    """
    study_id = optuna_tables.id_of(connection, name)
    if study_id is None:
        what = f"Optuna's tables have no study named {name!r}"
        raise StudyMissingError(f"{what}; {_orphan(connection, orphan)}")
    check_name(connection, name, except_id=orphan.study_id)
    known = sa.select(hpo_studies.c.study_id).where(hpo_studies.c.name == name, IN_OPTUNA)
    if connection.execute(known).first() is not None:
        raise StudyExistsError(f"study {name!r} has records of its own; choose another name")
    if not _has_same_trials(connection, orphan, study_id):
        what = f"Optuna's study {name!r} has other trials"
        raise OrphanError(f"{what}; {_orphan(connection, orphan)}")
    if orphan.study_id != study_id:
        make_room(connection, study_id)
    _move(connection, orphan, study_id, name)
    _refer_to(connection, study_id, optuna_tables.ids_by_number(connection, study_id))
    optuna_tables.keep_first_name(connection, study_id, orphan.name)
    give_back(connection, study_id)


def give_back(connection: Connection, study_id: int) -> None:
    """Give all unfinished work of a study back, so that no earlier worker can write to it."""
    given_back = {"expires_at": GIVEN_BACK, "token": hpo_claims.c.token + 1}
    live = (hpo_claims.c.study_id == study_id, hpo_claims.c.state == "live")
    connection.execute(sa.update(hpo_claims).where(*live).values(given_back))


def delete_rows(connection: Connection, study_id: int) -> None:
    """Delete all rows of a study in hpo's tables."""
    of_study = sa.select(hpo_claims.c.id).where(hpo_claims.c.study_id == study_id)
    connection.execute(sa.delete(hpo_trainings).where(hpo_trainings.c.claim_id.in_(of_study)))
    connection.execute(sa.delete(hpo_claims).where(hpo_claims.c.study_id == study_id))
    connection.execute(sa.delete(hpo_studies).where(hpo_studies.c.study_id == study_id))


def _not_an_orphan(connection: Connection, db: Database, name: str) -> Exception:
    if optuna_tables.id_of(connection, name) is None:
        return missing(connection, db, name)
    return StudyExistsError(
        f"study {name!r} is in Optuna's tables, so purge does not delete it; to delete a study "
        f"of hpo: hpo study delete {name} --yes"
    )


def _orphan(connection: Connection, row: AnyRow) -> Orphan:
    tests = sa.select(sa.func.count()).where(
        hpo_claims.c.study_id == row.study_id,
        hpo_claims.c.kind == "test",
        hpo_claims.c.state == "complete",
    )
    return Orphan(
        name=row.name,
        n_trials=row.n_started,
        n_tests=connection.execute(tests).scalar_one(),
        now_named=_present_name(connection, row) if row.n_started else None,
    )


def _present_name(connection: Connection, orphan: AnyRow) -> str | None:
    """The name of a study of Optuna's without records of hpo that has the orphan's trials."""
    known = set(connection.execute(sa.select(hpo_studies.c.name).where(IN_OPTUNA)).scalars())
    for name, study_id in optuna_tables.ids_by_name(connection).items():
        if name not in known and _has_same_trials(connection, orphan, study_id):
            return name
    return None


def _has_same_trials(connection: Connection, orphan: AnyRow, study_id: int) -> bool:
    """Whether a study of Optuna's has trials of the same numbers, states and errors.

    Trials that are damaged, so that they cannot be read, are not the same.
    """
    try:
        return _recorded(connection, orphan) == _trials(connection, study_id)
    except (AssertionError, LookupError):
        return False


def _recorded(connection: Connection, orphan: AnyRow) -> dict[int, Outcome]:
    """The outcomes of the orphan's trials in hpo's tables, by number."""
    query = sa.select(hpo_claims.c.trial, hpo_claims.c.state, hpo_claims.c.error).where(
        hpo_claims.c.study_id == orphan.study_id, hpo_claims.c.kind == "trial"
    )
    return {
        row.trial: (OPTUNA_STATES[row.state], None if row.state == "failed" else row.error)
        for row in connection.execute(query)
    }


def _trials(connection: Connection, study_id: int) -> dict[int, Outcome]:
    """The outcomes of the trials of a study of Optuna's, by number."""
    return {
        trial.number: (trial.state, optuna_tables.value_of(trial))
        for trial in optuna_tables.trials_of(connection, study_id)
    }


def _move(connection: Connection, row: AnyRow, study_id: int, name: str) -> None:
    """Give hpo's records of a study another id and another name.

    Work refers to its study's row. So a second row is written first and the first row deleted last.
    Two rows never have one name; the second one gets it in the end.
    """
    is_new = hpo_studies.c.study_id == study_id
    if row.study_id != study_id:
        between = {"study_id": study_id, "name": f"{row.study_id} to {study_id}"}
        connection.execute(sa.insert(hpo_studies).values(row._asdict() | between))
        of_study = hpo_claims.c.study_id == row.study_id
        connection.execute(sa.update(hpo_claims).where(of_study).values(study_id=study_id))
        connection.execute(sa.delete(hpo_studies).where(hpo_studies.c.study_id == row.study_id))
    connection.execute(sa.update(hpo_studies).where(is_new).values(name=name))


def _refer_to(connection: Connection, study_id: int, trial_ids: dict[int, int]) -> None:
    """Let the study's work refer to Optuna's trials of these ids, by trial number."""
    statement = sa.update(hpo_claims).where(
        hpo_claims.c.study_id == study_id, hpo_claims.c.trial == sa.bindparam("number")
    )
    values: list[dict[str, Any]] = [
        {"number": number, "id_of_trial": id_} for number, id_ in trial_ids.items()
    ]
    if values:
        connection.execute(statement.values(trial_id=sa.bindparam("id_of_trial")), values)
