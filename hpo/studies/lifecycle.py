"""Studies: create, open, list, extend, pause, copy, delete.

Creating checks everything that can be checked before a worker starts; a study whose row exists
can be worked on.
"""

import os
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from typing import NamedTuple, Unpack

from hpo import protocol as protocols
from hpo.errors import ConflictError, HpoError, InputError
from hpo.protocol import Protocol
from hpo.settings import MAX_COUNT, StudySettings
from storage import studies
from storage.engine import Database
from storage.errors import StudyExistsError


DEFAULT_STORAGE = "sqlite:///hpo.db"


class StudyKey(NamedTuple):
    """What identifies a study: a database may give the id of a deleted study to a new one."""

    id: int
    created_at: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study in a database; `n_trials` is its budget, `created_at` in seconds since 1970.

    While it is `paused`, none of its work is given out.
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
    """The database at a URL, at that of HPO_STORAGE, or at `sqlite:///hpo.db`.

    Raises:
        StorageError: it cannot be used, or holds no studies yet and `create` is not set.
    """
    return Database(storage_url(storage), create=create)


def storage_url(storage: str | None = None) -> str:
    """The URL that was given, that of HPO_STORAGE, or `sqlite:///hpo.db`."""
    return storage or os.environ.get("HPO_STORAGE") or DEFAULT_STORAGE


def create_study(
    architecture: str,
    *,
    storage: str | None = None,
    if_not_exists: bool = False,
    **settings: Unpack[StudySettings],
) -> Study:
    """Create a study of an architecture; a setting that is left out has its default.

    `architecture` is a name that `hpo architectures` lists, or `package.module:attribute`. With
    `if_not_exists` a study of that name is given back as it is.

    Raises:
        InputError: a setting is wrong; nothing was written.
        RecipeError: the recipe is wrong; nothing was written.
        StudyExistsError: the name is taken.
        StorageError: the database cannot be used.
    """
    from hpo.studies.draft import draft_study  # loads torch

    draft = draft_study(architecture, **settings)
    with closing(open_database(storage, create=True)) as db:
        with suppress(StudyExistsError) if if_not_exists else nullcontext():
            frozen = draft.protocol.model_dump_json()
            studies.add(db, draft.name, frozen, draft.n_trials)
        return open_study(db, draft.name)


def open_study(db: Database, name: str) -> Study:
    """The study of that name.

    Raises:
        StudyMissingError: there is none.
    """
    return _study(studies.get(db, name))


class Unreadable(NamedTuple):
    """A study whose protocol cannot be read, and why."""

    key: StudyKey
    name: str
    error: HpoError


def every(db: Database) -> tuple[list[Study], list[Unreadable]]:
    """All studies of an open database, the oldest first, and those that cannot be read."""
    readable: list[Study] = []
    unreadable: list[Unreadable] = []
    for row in studies.every(db):
        try:
            readable.append(_study(row))
        except HpoError as error:
            unreadable.append(Unreadable(StudyKey(row.study_id, row.created_at), row.name, error))
    return readable, unreadable


def _study(row: studies.StudyRow) -> Study:
    frozen = protocols.read(row.protocol, row.name)
    return Study(
        id=row.study_id,
        name=row.name,
        protocol=frozen,
        n_trials=row.n_trials,
        created_at=row.created_at,
        paused=row.is_paused,
    )


def extend_study(name: str, trials: int, storage: str | None = None) -> Study:
    """Raise a study's budget to `trials` in all.

    Raises:
        StudyMissingError: there is no such study.
        InputError: the number is smaller than the present one.
        ConflictError: there are no more configurations to try.
    """
    with closing(open_database(storage)) as db:
        return _extend(db, open_study(db, name), trials)


def _extend(db: Database, study: Study, trials: int) -> Study:
    if not study.n_trials <= trials <= MAX_COUNT:
        raise InputError(
            f"trials: {trials} is the new total, so it should be from the present "
            f"{study.n_trials} to {MAX_COUNT}"
        )
    from hpo.search.samplers import count_configurations

    most = count_configurations(study.protocol.sampler, study.protocol.search_space)
    if most is not None and trials > most:
        raise ConflictError(f"the space of study {study.name!r} has only {most} configurations")
    try:
        studies.extend(db, study.name, trials)
    except ValueError as error:  # somebody else has extended it further since
        raise InputError(f"trials: {error}") from error
    return open_study(db, study.name)


def pause_study(name: str, storage: str | None = None) -> Study:
    """Give out no more of a study's work until it is resumed; what is under way goes on.

    Raises:
        StudyMissingError: there is no such study.
    """
    return _set_paused(name, storage, is_paused=True)


def resume_study(name: str, storage: str | None = None) -> Study:
    """Give out a paused study's work again.

    Raises:
        StudyMissingError: there is no such study.
    """
    return _set_paused(name, storage, is_paused=False)


def _set_paused(name: str, storage: str | None, *, is_paused: bool) -> Study:
    with closing(open_database(storage)) as db:
        studies.set_paused(db, name, is_paused)
        return open_study(db, name)


def delete_study(name: str, storage: str | None = None) -> None:
    """Delete a study and all that was recorded for it.

    Raises:
        StudyMissingError: there is no such study.
    """
    with closing(open_database(storage)) as db:
        studies.delete(db, name)
