"""Studies: create, open, list, extend, pause, copy, delete.

Creating checks everything that can be checked before a worker starts; a study whose row exists
can be worked on.
"""

import os
import re
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hpo import protocol as protocols
from hpo.errors import ConflictError, HpoError, InputError
from hpo.protocol import Protocol
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace
from storage import catalog
from storage.engine import Database
from storage.errors import StudyExistsError


DEFAULT_STORAGE = "sqlite:///hpo.db"
DEFAULT_TRIALS = 50
MAX_TRIALS = 1_000_000


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


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A study that was checked and could be created."""

    name: str
    protocol: Protocol
    n_trials: int


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
    **settings: Any,
) -> Study:
    """Create a study; `settings` are those of `draft_study`.

    With `if_not_exists` a study of that name is given back as it is.

    Raises:
        InputError, RecipeError: a setting is wrong; nothing was written.
        StudyExistsError: the name is taken.
        StorageError: the database cannot be used.
    """
    draft = draft_study(architecture, **settings)
    with closing(open_database(storage, create=True)) as db:
        with suppress(StudyExistsError) if if_not_exists else nullcontext():
            frozen = draft.protocol.model_dump_json()
            catalog.add(db, draft.name, frozen, draft.n_trials)
        return open_study(db, draft.name)


def draft_study(
    architecture: str,
    *,
    name: str | None = None,
    dataset: str | None = None,
    space: Path | str | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    centre: bool = True,
    **settings: Any,
) -> Draft:
    """Check all settings of a new study and freeze them; writes nothing.

    Architecture and data set are named as in `hpo architectures`, or as `package.module:attribute`.
    `space` is a recipe's file, else the architecture's own recipe is taken. Epochs and batch size
    come from here, else from the recipe, else they are 25 and 100. With `centre` the known
    configurations are followed by the centre of the search space. Other settings (folds, repeats,
    sampler, pruner, seed, max_attempts, lease_s, confirm) are fields of `hpo.protocol.Protocol`.

    Raises:
        InputError, RecipeError: a setting is wrong; the message says which.
    """
    from hpo import creation  # loads torch
    from hpo.datasets import fingerprint

    entry = creation.architecture(architecture)
    data_name, data = creation.dataset(dataset, entry)
    found = creation.find_recipe(entry, space)
    sizes = {
        "train_size": data.default_train_size if train_size is None else train_size,
        "test_size": data.default_test_size if test_size is None else test_size,
        "epochs": duration("epochs", epochs, found, found.epochs),
        "batch_size": duration("batch_size", batch_size, found, found.batch_size),
    }
    given = {key: value for key, value in (settings | sizes).items() if value is not None}
    frozen = protocols.make(
        architecture=architecture,
        dataset=data_name,
        fingerprint=fingerprint(data_name),
        space=found.space.to_json(),
        known=found.known,
        centre=centre,
        **given,
    )
    creation.check(frozen, entry, data)
    n_trials = budget(frozen, found.space, trials)
    own_name = default_name(architecture) if name is None else checked_name(name)
    return Draft(name=own_name, protocol=frozen, n_trials=n_trials)


def duration(name: str, asked: int | None, found: Recipe, of_recipe: int | None) -> Any:
    """Epochs or batch size: what was asked for, else the recipe's; None where neither says.

    Where the recipe searches it, the largest that a trial can have.

    Raises:
        InputError: it was asked for, and the recipe searches it.
    """
    if name not in found.space.names:
        return of_recipe if asked is None else asked
    if asked is not None:
        raise InputError(
            f"{name}: the recipe has it as a parameter; leave it out here, or give a recipe "
            "without it (--space)"
        )
    return found.space.highest(name)


def default_name(architecture: str) -> str:
    """The architecture's name, or what of it can name a study: `mynet:build` gives mynet.build.

    Raises:
        InputError: that is nothing, or too much.
    """
    return checked_name(re.sub(r"[^A-Za-z0-9_-]+", ".", architecture).strip("._-"))


def checked_name(name: str) -> str:
    """A name that works in a file name, an URL and a shell.

    Raises:
        InputError: it does not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise InputError(
            f"name: {name!r} cannot name a study; use letters, digits, '.', '_' and '-', at most "
            "100, the first a letter or digit"
        )
    return name


def budget(frozen: Protocol, space: SearchSpace, trials: int | None) -> int:
    """The number of trials: what was asked for, as far as there are different configurations.

    Raises:
        InputError: it is below 1, or there are more known configurations.
    """
    from hpo.search.samplers import count_configurations

    if trials is not None and not 1 <= trials <= MAX_TRIALS:
        raise InputError(f"trials: should be from 1 to {MAX_TRIALS}, but it is {trials}")
    most = count_configurations(frozen.sampler, space)
    asked = trials or (most if most is not None else DEFAULT_TRIALS)
    n_trials = asked if most is None else min(asked, most)
    if n_trials < len(frozen.known):
        raise InputError(
            f"trials: {n_trials} is fewer than the {len(frozen.known)} known configurations of "
            "the recipe, which are tried first; raise --trials"
        )
    return n_trials


def open_study(db: Database, name: str) -> Study:
    """The study of that name.

    Raises:
        StudyMissingError: there is none.
    """
    return _study(catalog.get(db, name))


class Unreadable(NamedTuple):
    """A study whose protocol cannot be read, and why."""

    name: str
    created_at: float
    error: HpoError


def every(db: Database) -> tuple[list[Study], list[Unreadable]]:
    """All studies of an open database, the oldest first, and those that cannot be read."""
    readable: list[Study] = []
    unreadable: list[Unreadable] = []
    for row in catalog.every(db):
        try:
            readable.append(_study(row))
        except HpoError as error:
            unreadable.append(Unreadable(row.name, row.created_at, error))
    return readable, unreadable


def _study(row: catalog.StudyRow) -> Study:
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
    if not study.n_trials <= trials <= MAX_TRIALS:
        raise InputError(
            f"trials: {trials} is the new total, so it should be from the present "
            f"{study.n_trials} to {MAX_TRIALS}"
        )
    from hpo.search.samplers import count_configurations

    most = count_configurations(study.protocol.sampler, study.protocol.search_space)
    if most is not None and trials > most:
        raise ConflictError(f"the space of study {study.name!r} has only {most} configurations")
    try:
        catalog.extend(db, study.name, trials)
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
        catalog.set_paused(db, name, is_paused)
        return open_study(db, name)


def delete_study(name: str, storage: str | None = None) -> None:
    """Delete a study and all that was recorded for it.

    Raises:
        StudyMissingError: there is no such study.
    """
    with closing(open_database(storage)) as db:
        catalog.delete(db, name)
