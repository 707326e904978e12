"""Copying a study to another database: all of it, or nothing.

A study's rows are taken with names in place of the ids that a database gives: a trial by its
number, a piece of work by its kind, trial and part. So they read the same in every database, and
before the commit the target's are compared with the source's.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeAlias

import sqlalchemy as sa

from storage import optuna_tables, studies
from storage.backends import Backend
from storage.engine import Database
from storage.errors import CopyError, StudyBusyError
from storage.tables import GIVEN_BACK, clock, hpo_claims, hpo_studies, hpo_trainings


Rows: TypeAlias = list[dict[str, Any]]
Ids: TypeAlias = dict[tuple[Any, ...], int]

BATCH = 2000
"""So many rows are written at once."""

_TRIALS_NOTE = "dashboard:of trial "


@dataclass(frozen=True)
class _Part:
    """One table's rows of a study; `owner` is the table that their `owner_id` is an id of."""

    table: sa.Table
    owner_id: str = "study_id"
    owner: sa.Table | None = None

    @property
    def key(self) -> list[sa.Column[Any]]:
        """What names a row's owner in every database."""
        if self.owner is None:
            return []
        names = ("number",) if self.owner is optuna_tables.trials else ("kind", "trial", "part")
        return [self.owner.c[name] for name in names]

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """What a row says, but for the ids."""
        ids = ("study_id", "trial_id", "claim_id")
        return [c for c in self.table.c if not c.primary_key and c.name not in ids]

    def read(self, connection: sa.Connection, study_id: int) -> Rows:
        """The study's rows, in the order in which they were written."""
        query = sa.select(*self.key, *self.columns).order_by(*self.table.primary_key)
        if self.owner is None:
            query = query.where(self.table.c.study_id == study_id)
        else:
            (id_,) = self.owner.primary_key
            query = query.join(self.owner, id_ == self.table.c[self.owner_id])
            query = query.where(self.owner.c.study_id == study_id)
        return [dict(row._mapping) for row in connection.execute(query)]


def _of_trials(table: sa.Table) -> _Part:
    return _Part(table, "trial_id", optuna_tables.trials)


_DIRECTIONS = _Part(optuna_tables.study_directions)
_TRIALS = _Part(optuna_tables.trials)
_CLAIMS = _Part(hpo_claims)
_NOTES = _Part(optuna_tables.study_system_attributes)
PARTS = (
    _DIRECTIONS,
    _Part(hpo_studies),
    _Part(optuna_tables.study_user_attributes),
    _TRIALS,
    _NOTES,  # its keys may name trials
    _of_trials(optuna_tables.trial_parameters),
    _of_trials(optuna_tables.trial_values),
    _of_trials(optuna_tables.trial_intermediate_values),
    _of_trials(optuna_tables.trial_user_attributes),
    _of_trials(optuna_tables.trial_system_attributes),
    _of_trials(optuna_tables.trial_heartbeats),
    _CLAIMS,
    _Part(hpo_trainings, "claim_id", hpo_claims),
)
"""Everything that a study is, those first that others belong to."""


@dataclass(frozen=True)
class Contents:
    """A study as it stood in its database."""

    rows: Mapping[_Part, Rows]

    @property
    def n_trials(self) -> int:
        """Trials that were started."""
        return len(self.rows[_TRIALS])

    @property
    def n_rows(self) -> int:
        """Rows in all tables."""
        return sum(map(len, self.rows.values()))


def take(db: Database, name: str) -> Contents:
    """All that the database holds of a study, which nobody changes while it is read.

    Raises:
        StudyMissingError: there is no such study.
        StudyBusyError: workers are at work on it.
    """
    with db.errors_translated(), db.transaction() as connection:
        study_id = studies.locked(connection, db, name).study_id
        _check_idle(connection, study_id, name)
        return _read(connection, study_id)


def put(
    db: Database, name: str, contents: Contents, count_rows: Callable[[int, int], None]
) -> None:
    """Write a study under this name, in one transaction.

    `count_rows(done, of_all)` is called as rows are written.

    Work that was left unfinished can be taken up there at once. A copy is not paused.

    Raises:
        StudyExistsError: the name is taken.
        CopyError: what can be read there is not what was written; nothing was kept.
    """
    fitted = _fit(contents, name, db.backend)
    directions = [row["direction"] for row in fitted.rows[_DIRECTIONS]]
    with studies.entering(db, name, directions) as (connection, study_id):
        _write(connection, study_id, fitted, count_rows)
        there = _read(connection, study_id)
        for part, rows in fitted.rows.items():
            if there.rows[part] != rows:
                raise CopyError(
                    f"the copy in {db.name} differs from its source in the table "
                    f"{part.table.name}; nothing was kept"
                )


def _check_idle(connection: sa.Connection, study_id: int, name: str) -> None:
    """See that no lease is running, and let nobody who lost one record anything meanwhile."""
    live = sa.select(
        hpo_claims.c.worker, (hpo_claims.c.expires_at > clock()).label("is_held")
    ).where(hpo_claims.c.study_id == study_id, hpo_claims.c.state == "live")
    rows = connection.execute(live.with_for_update()).all()
    if workers := sorted({row.worker for row in rows if row.is_held}):
        raise StudyBusyError(
            f"study {name!r} is being worked on by {', '.join(workers)}; stop them, or run "
            f"hpo study pause {name} and wait until their work is done"
        )


def _read(connection: sa.Connection, study_id: int) -> Contents:
    rows = {part: part.read(connection, study_id) for part in PARTS}
    numbers = {id_: number for (number,), id_ in _trial_ids(connection, study_id).items()}
    for row in rows[_NOTES]:
        row["key"] = _by_number(row["key"], numbers)
    return Contents(rows)


def _by_number(key: str, numbers: Mapping[int, int]) -> str:
    """The name of a note; Optuna's dashboard has a trial's id in those of notes on trials."""
    found = re.match(r"dashboard:(\d+):", key)
    if found is None or int(found[1]) not in numbers:
        return key
    return f"{_TRIALS_NOTE}{numbers[int(found[1])]}:{key[found.end() :]}"


def _by_id(key: str, ids: Ids) -> str:
    """The same name, with the id that the trial has here."""
    if not key.startswith(_TRIALS_NOTE):
        return key
    number, _, rest = key.removeprefix(_TRIALS_NOTE).partition(":")
    return f"dashboard:{ids[(int(number),)]}:{rest}"


def _fit(contents: Contents, name: str, backend: Backend) -> Contents:
    """The study as it is to stand in a database of this kind."""
    rows = {part: [dict(row) for row in rows] for part, rows in contents.rows.items()}
    for part, own in rows.items():
        if part.table is hpo_studies:
            own[0] |= {"name": name, "is_paused": False}
        if part is _CLAIMS:  # by the target's clock a lease that ran out might be running
            for row in own:
                row["expires_at"] = GIVEN_BACK if row["state"] == "live" else row["expires_at"]
        for row in own:
            row |= {key: backend.as_stored(value) for key, value in row.items()}
    return Contents(rows)


def _write(
    connection: sa.Connection,
    study_id: int,
    contents: Contents,
    count_rows: Callable[[int, int], None],
) -> None:
    ids: dict[str, Ids] = {"study_id": {(): study_id}}
    done = len(contents.rows[_DIRECTIONS])  # Optuna has written them with the study
    for part in PARTS:
        if part is not _DIRECTIONS:
            rows = _with_ids(part, contents.rows[part], ids)
            while batch := list(islice(rows, BATCH)):
                connection.execute(sa.insert(part.table), batch)
                count_rows(done := done + len(batch), contents.n_rows)
        if part is _TRIALS:
            ids["trial_id"] = _trial_ids(connection, study_id)
        elif part is _CLAIMS:
            ids["claim_id"] = _claim_ids(connection, study_id)


def _with_ids(part: _Part, rows: Rows, ids: dict[str, Ids]) -> Iterator[dict[str, Any]]:
    """The rows as this database is to hold them."""
    key, columns = [c.name for c in part.key], [c.name for c in part.columns]
    owners = ids[part.owner_id]
    for row in rows:
        own = {name: row[name] for name in columns}
        own[part.owner_id] = owners[tuple(row[name] for name in key)]
        if part is _CLAIMS:
            own["trial_id"] = ids["trial_id"][(row["trial"],)]
        elif part is _NOTES:
            own["key"] = _by_id(row["key"], ids["trial_id"])
        yield own


def _trial_ids(connection: sa.Connection, study_id: int) -> Ids:
    ids = optuna_tables.ids_by_number(connection, study_id)
    return {(number,): trial_id for number, trial_id in ids.items()}


def _claim_ids(connection: sa.Connection, study_id: int) -> Ids:
    query = sa.select(hpo_claims.c.kind, hpo_claims.c.trial, hpo_claims.c.part, hpo_claims.c.id)
    found = connection.execute(query.where(hpo_claims.c.study_id == study_id))
    return {(kind, trial, part): id_ for kind, trial, part, id_ in found}
