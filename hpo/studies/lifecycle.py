"""Create, open, list, extend, rename, pause, resume and delete studies.

`create_study` checks all that can be checked before a worker starts. Workers can therefore work on
every study in the database.
"""

import math
import os
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple, Unpack

from hpo import events
from hpo import protocol as protocols
from hpo.arguments import checked
from hpo.errors import ConflictError, DamagedError, HpoError, InputError
from hpo.foreign_code import trust
from hpo.protocol import Protocol
from hpo.settings import MAX_COUNT, StudySettings
from hpo.studies.damage import damage_reported
from hpo.studies.names import checked_name, name_of
from storage import renaming, studies, values
from storage.engine import Database
from storage.errors import (
    EmptyStorageError,
    StorageError,
    StudyExistsError,
    StudyMissingError,
)


if TYPE_CHECKING:
    from hpo.studies.draft import Draft


DEFAULT_STORAGE = "sqlite:///hpo.db"
"""The database if neither an argument nor `HPO_STORAGE` names one: a file in the working folder."""


class StudyKey(NamedTuple):
    """What identifies a study: a database may give the id of a deleted study to a new one."""

    id: int
    created_at: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study in a database.

    `n_trials` is the number of trials of the search. `created_at` is in seconds since 1970. While a
    study is `paused`, workers get none of its work.
    """

    id: int
    name: str
    protocol: Protocol
    n_trials: int
    created_at: float
    paused: bool

    @property
    def key(self) -> StudyKey:
        """What identifies the study, also after another was created under its id."""
        return StudyKey(self.id, self.created_at)


def open_database(storage: str | None = None, *, create: bool = False) -> Database:
    """Open the database at the URL `storage`, else at `HPO_STORAGE`, else at `sqlite:///hpo.db`.

    With `create`, missing tables are created.

    Raises:
        EmptyStorageError: the database has no tables, and `create` is false.
        StorageError: the database cannot be used.
    """
    return Database(storage_url(storage), create=create)


def storage_url(storage: str | None = None) -> str:
    """The URL `storage`, else the URL in the variable `HPO_STORAGE`, else `sqlite:///hpo.db`."""
    url = storage or os.environ.get("HPO_STORAGE") or DEFAULT_STORAGE
    return url.strip()  # a URL that is read from a file often has a line end


@checked
def create_study(
    architecture: str,
    *,
    storage: str | None = None,
    if_not_exists: bool = False,
    **settings: Unpack[StudySettings],
) -> Study:
    """Create a study of an architecture; a missing setting gets its default.

    `architecture` is a name that `hpo architectures` lists, or `package.module:attribute`. A module
    that is named so is recorded in your trust file, so that workers of the same database may import
    it. With `if_not_exists`, an existing study of the same name and settings is returned unchanged.
    Its number of trials may have been extended since its creation.

    Raises:
        InputError: a setting is wrong; nothing was written.
        RecipeError: the recipe is wrong; nothing was written.
        StudyExistsError: the name is taken, and `if_not_exists` is false.
        ConflictError: the existing study has other settings; the message names them.
        StorageError: the database cannot be used.
    """
    if not if_not_exists:
        _check_is_free(storage, name_of(architecture, settings.get("name")))
    from hpo.studies.draft import draft_study  # loads torch

    with trust.own_word() as modules:
        draft = draft_study(architecture, **settings)
    with closing(open_database(storage, create=True)) as db:
        try:
            studies.add(db, draft.name, draft.protocol.model_dump_json(), draft.n_trials)
        except StudyExistsError:
            if not if_not_exists:
                raise
            _check_same(open_study(db, draft.name), draft)
        if warning := trust.record(db.url, modules):
            events.warn("trust_not_recorded", warning)
        return open_study(db, draft.name)


def _check_is_free(storage: str | None, name: str) -> None:
    """Check, before the seconds that other checks take, that the database has no study `name`.

    Raises:
        StudyExistsError: the name is taken.
        StorageError: the database cannot be used.
    """
    with suppress(EmptyStorageError, StudyMissingError), closing(open_database(storage)) as db:
        studies.get(db, name)
        raise studies.exists_already(db, name)


def _check_same(study: Study, draft: "Draft") -> None:
    """Check that an existing study has the settings that are asked for.

    Raises:
        ConflictError: a setting differs.
    """
    from hpo.studies.differences import differences  # loads torch

    if found := differences(study, draft):
        raise ConflictError(
            f"the study {study.name!r} exists with other settings: {'; '.join(found)}; choose "
            "another name, or ask for the settings of the study (hpo study extend adds trials)"
        )


def open_study(db: Database, name: str) -> Study:
    """The study with the given name.

    Raises:
        StudyMissingError: no study has that name.
        DamagedError: the study's row or protocol cannot be read.
    """
    return _study(studies.get(db, name))


class Unreadable(NamedTuple):
    """A study that cannot be read; `error` says why."""

    key: StudyKey
    name: str
    error: DamagedError


def all_studies(db: Database) -> tuple[list[Study], list[Unreadable]]:
    """The readable and the unreadable studies of a database, each list from old to new."""
    readable: list[Study] = []
    unreadable: list[Unreadable] = []
    for row in studies.all_studies(db):
        try:
            readable.append(_study(row))
        except DamagedError as error:
            unreadable.append(Unreadable(StudyKey(row.study_id, row.created_at), row.name, error))
    return readable, unreadable


def _study(row: studies.StudyRow) -> Study:
    with damage_reported(row.name):
        values.check(values.STUDY, asdict(row))
    return Study(
        id=row.study_id,
        name=row.name,
        protocol=protocols.read(row.protocol, row.name),
        n_trials=row.n_trials,
        created_at=row.created_at,
        paused=row.is_paused,
    )


@checked
def extend_study(name: str, trials: int, storage: str | None = None) -> Study:
    """Raise a study's total number of trials to `trials`.

    Raises:
        StudyMissingError: no study has that name.
        InputError: the new number is smaller than the present one, or above the limit.
        ConflictError: the search space has fewer configurations than `trials`.
    """
    with closing(open_database(storage)) as db:
        return _extend(db, open_study(db, name), trials)


def _extend(db: Database, study: Study, trials: int) -> Study:
    if not study.n_trials <= trials <= MAX_COUNT:
        raise InputError(
            f"trials: {trials} is not allowed; the new total should be from the present "
            f"{study.n_trials} to {MAX_COUNT}"
        )
    from hpo.search.samplers import max_trials

    most = max_trials(study.protocol)
    if most is not None and trials > most:
        raise ConflictError(
            f"the search space has only {most} configurations; choose at most that many trials"
        )
    try:
        studies.extend(db, study.name, trials)
    except ValueError as error:  # another command extended the study further
        raise InputError(f"trials: {error}") from error
    return open_study(db, study.name)


@checked
def pause_study(name: str, storage: str | None = None) -> Study:
    """Pause a study: until it is resumed, workers start none of its work.

    Work that has started is finished.

    Raises:
        StudyMissingError: no study has that name.
    """
    return _set_paused(name, storage, is_paused=True)


@checked
def resume_study(name: str, storage: str | None = None) -> Study:
    """Resume a paused study: workers start its work again.

    Raises:
        StudyMissingError: no study has that name.
    """
    return _set_paused(name, storage, is_paused=False)


def _set_paused(name: str, storage: str | None, *, is_paused: bool) -> Study:
    with closing(open_database(storage)) as db:
        studies.set_paused(db, name, is_paused)
        return open_study(db, name)


@checked
def rename_study(name: str, new_name: str, storage: str | None = None) -> None:
    """Give a study another name, or take up its records after another program renamed it.

    Raises:
        InputError: the new name is not a valid study name.
        StudyMissingError: no study has that name.
        StudyExistsError: another study has the new name.
        StudyBusyError: workers are working on the study.
        OrphanError: records are kept under the new name, or belong to another study.
        StorageError: the database cannot be used.
    """
    with closing(open_database(storage)) as db:
        renaming.rename(db, name, checked_name(new_name), lease_s=lease_s(db, name))


def lease_s(db: Database, name: str) -> float:
    """The length of the study's leases in seconds; infinite if its protocol cannot be read."""
    try:
        return open_study(db, name).protocol.lease_s
    except StudyMissingError:
        return math.inf
    except StorageError:
        raise  # the database failed, not the study
    except HpoError:
        return math.inf


@checked
def delete_study(name: str, storage: str | None = None) -> None:
    """Delete a study and all its records.

    Raises:
        StudyMissingError: no study has that name.
    """
    with closing(open_database(storage)) as db:
        studies.delete(db, name)
