"""Renaming a study in hpo's and Optuna's tables in one transaction."""

import math

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from storage import optuna_tables, orphans, studies
from storage.claims import check_idle
from storage.engine import Database
from storage.errors import StudyExistsError, StudyMissingError
from storage.tables import hpo_studies


def rename(db: Database, name: str, new_name: str, *, lease_s: float = math.inf) -> None:
    """Give a study another name in hpo's and Optuna's tables, or take up an orphan.

    An orphan is taken up if a study of Optuna's has the new name and the orphan's trials. Workers
    that hold no work of the study go on with it. `lease_s` is as in `claims.check_idle`.

    Raises:
        StudyMissingError: no study has the name, or Optuna's half of the orphan is gone.
        StudyExistsError: a study of hpo or of another program has the new name.
        StudyBusyError: a worker holds a lease of the study.
        OrphanError: records of hpo have the new name whose study in Optuna's tables is gone, or
            the study of the new name has other trials than the orphan.
    """
    with db.errors_translated(), db.transaction() as connection:
        orphan = orphans.find(connection, name)
        if orphan is not None and orphan.name == name:
            orphans.take_up(connection, orphan, new_name)
        else:
            study_id = studies.locked(connection, db, name).study_id
            check_idle(connection, study_id, name, lease_s=lease_s)
            _rename(connection, study_id, name, new_name)
    db.clear_cache()


def _rename(connection: Connection, study_id: int, name: str, new_name: str) -> None:
    if new_name == name or optuna_tables.id_of(connection, new_name) not in (None, study_id):
        raise StudyExistsError(f"a study named {new_name!r} exists already; choose another name")
    orphans.check_name(connection, new_name)
    orphans.give_back(connection, study_id)
    optuna_tables.keep_first_name(connection, study_id, name)
    optuna_tables.rename(connection, study_id, new_name)
    is_this_study = hpo_studies.c.study_id == study_id
    connection.execute(sa.update(hpo_studies).where(is_this_study).values(name=new_name))


def names(db: Database, study_id: int) -> tuple[str, str]:
    """The name that a study has now, and the name with which it was created.

    Raises:
        StudyMissingError: the study was deleted.
    """
    with db.reading() as connection:
        names = optuna_tables.names_of(connection, study_id)
    if names is None:
        raise StudyMissingError("the study was deleted")
    return names
