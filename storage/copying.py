"""Copying a study to another database in one transaction.

The ids of rows differ between databases. A copied row therefore refers to a trial by the trial's
number, and to a piece of work by its kind, trial and part. Without ids the rows of a study are
equal in every database. Before the commit, the rows of the copy and of the source are compared.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any, TypeAlias

import sqlalchemy as sa

from storage import claims, digests, optuna_tables, studies
from storage.backends import Backend
from storage.engine import Database
from storage.errors import CopyError
from storage.optuna_tables import FIRST_NAME
from storage.tables import GIVEN_BACK, hpo_claims, hpo_studies, hpo_trainings


Rows: TypeAlias = list[dict[str, Any]]

Ids: TypeAlias = dict[tuple[Any, ...], int]
"""The ids of rows in one database, by the key that the rows have in every database."""

BATCH = 2000
"""Maximum number of rows that one statement writes."""

_NOTE_ON_TRIAL = "dashboard:of trial "
"""The start of the key of a dashboard note on a trial, while the note is copied.

The trial's number follows. In a database the key has the trial's id instead.
"""


@dataclass(frozen=True)
class _StudyTable:
    """A table with rows of a study.

    A row belongs to a row of the table `owner`, whose id is in the column `owner_id`; without an
    `owner` it belongs to the study.
    """

    table: sa.Table
    owner_id: str = "study_id"
    owner: sa.Table | None = None

    @property
    def key(self) -> list[sa.Column[Any]]:
        """The columns that identify a row's owner in every database."""
        if self.owner is None:
            return []
        names = ("number",) if self.owner is optuna_tables.trials else ("kind", "trial", "part")
        return [self.owner.c[name] for name in names]

    @property
    def columns(self) -> list[sa.Column[Any]]:
        """The columns without ids."""
        ids = ("study_id", "trial_id", "claim_id")
        return [c for c in self.table.c if not c.primary_key and c.name not in ids]

    def read(self, connection: sa.Connection, study_id: int) -> Rows:
        """The study's rows with the keys of their owners, in the order of their ids."""
        query = sa.select(*self.key, *self.columns).order_by(*self.table.primary_key)
        if self.owner is None:
            query = query.where(self.table.c.study_id == study_id)
        else:
            (id_,) = self.owner.primary_key
            query = query.join(self.owner, id_ == self.table.c[self.owner_id])
            query = query.where(self.owner.c.study_id == study_id)
        return [dict(row._mapping) for row in connection.execute(query)]


def _of_trials(table: sa.Table) -> _StudyTable:
    return _StudyTable(table, "trial_id", optuna_tables.trials)


_DIRECTIONS = _StudyTable(optuna_tables.study_directions)
_STUDY = _StudyTable(hpo_studies)
_TRIALS = _StudyTable(optuna_tables.trials)
_CLAIMS = _StudyTable(hpo_claims)
_TRAININGS = _StudyTable(hpo_trainings, "claim_id", hpo_claims)
_NOTES = _StudyTable(optuna_tables.study_system_attributes)
STUDY_TABLES = (
    _DIRECTIONS,
    _STUDY,
    _StudyTable(optuna_tables.study_user_attributes),
    _TRIALS,
    _NOTES,  # after the trials, because its keys may have ids of trials
    _of_trials(optuna_tables.trial_parameters),
    _of_trials(optuna_tables.trial_values),
    _of_trials(optuna_tables.trial_intermediate_values),
    _of_trials(optuna_tables.trial_user_attributes),
    _of_trials(optuna_tables.trial_system_attributes),
    _of_trials(optuna_tables.trial_heartbeats),
    _CLAIMS,
    _TRAININGS,
)
"""All tables with rows of a study. A table comes after those that its rows refer to."""


@dataclass(frozen=True)
class Contents:
    """All rows of a study, without ids."""

    rows: Mapping[_StudyTable, Rows]

    @property
    def n_trials(self) -> int:
        """The number of trials that were started."""
        return len(self.rows[_TRIALS])

    @property
    def n_rows(self) -> int:
        """The number of rows in all tables."""
        return sum(map(len, self.rows.values()))


def take(db: Database, name: str, *, lease_s: float = math.inf) -> Contents:
    """Read all rows of a study under a lock, so that no worker changes them meanwhile.

    `lease_s` is as in `claims.check_idle`.

    Raises:
        StudyMissingError: the database has no study of this name.
        StudyBusyError: workers work on the study.
    """
    with db.errors_translated(), db.unchanging() as connection:
        study_id = studies.locked(connection, db, name).study_id
        claims.check_idle(connection, study_id, name, lease_s=lease_s)
        return _read(connection, study_id)


def put(
    db: Database, name: str, contents: Contents, count_rows: Callable[[int, int], None]
) -> None:
    """Write a study under this name, in one transaction.

    Workers can claim unfinished work of the copy at once. The copy is not paused.
    `count_rows(n_written, n_total)` is called after every batch of rows.

    Raises:
        StudyExistsError: the target has a study of this name.
        CopyError: the rows read back differ from the rows written, or from their digests; the copy
            was discarded.
    """
    fitted = _fit(contents, name, db.backend)
    directions = [row["direction"] for row in fitted.rows[_DIRECTIONS]]
    with studies.creating(db, name, directions) as (connection, study_id):
        _write(connection, study_id, fitted, count_rows)
        written = _read(connection, study_id)
        for study_table, rows in fitted.rows.items():
            if written.rows[study_table] != rows:
                raise CopyError(
                    f"the copy in {db.name} differs from its source in the table "
                    f"{study_table.table.name}; the copy was discarded"
                )
        _check_digests(written)


def _check_digests(contents: Contents) -> None:
    """Check that the protocol and the trainings have the digests with which they were recorded.

    Raises:
        CopyError: a record differs from its digest.
    """
    (study,) = contents.rows[_STUDY]
    is_same = study["digest"] in (None, digests.of_protocol(study["protocol"]))
    damaged = [] if is_same else ["the protocol"]
    for row in contents.rows[_TRAININGS]:
        work = SimpleNamespace(created_at=study["created_at"], **row)
        digest = digests.of_training(work, row["fold"], row["curve"], row["error"])
        if row["digest"] not in (None, digest):
            damaged.append(f"{row['kind']} {row['trial']}, fold {row['fold']}")
    if damaged:
        raise CopyError(
            f"the source is damaged: {damaged[0]} differs from its digest; the copy was discarded; "
            "see: hpo storage check"
        )


def _read(connection: sa.Connection, study_id: int) -> Contents:
    rows = {study_table: study_table.read(connection, study_id) for study_table in STUDY_TABLES}
    numbers = {id_: number for (number,), id_ in _trial_ids(connection, study_id).items()}
    for row in rows[_NOTES]:
        row["key"] = _with_number(row["key"], numbers)
    return Contents(rows)


def _with_number(key: str, numbers: Mapping[int, int]) -> str:
    """The key of a note of Optuna's dashboard, with the trial's number for the trial's id."""
    match = re.match(r"dashboard:(\d+):", key)
    if match is None or int(match[1]) not in numbers:
        return key
    return f"{_NOTE_ON_TRIAL}{numbers[int(match[1])]}:{key[match.end() :]}"


def _with_id(key: str, ids: Ids) -> str:
    """The key of a note of Optuna's dashboard, with the trial's id for the trial's number."""
    if not key.startswith(_NOTE_ON_TRIAL):
        return key
    number, _, rest = key.removeprefix(_NOTE_ON_TRIAL).partition(":")
    return f"dashboard:{ids[(int(number),)]}:{rest}"


def _fit(contents: Contents, name: str, backend: Backend) -> Contents:
    """The rows as the database of the copy will return them when they are read again."""
    fitted = {
        study_table: [dict(row) for row in rows] for study_table, rows in contents.rows.items()
    }
    first_name = fitted[_STUDY][0]["name"]
    if name != first_name and FIRST_NAME not in {row["key"] for row in fitted[_NOTES]}:
        fitted[_NOTES].append(optuna_tables.first_name_note(first_name))
    for study_table, rows in fitted.items():
        if study_table is _STUDY:
            rows[0] |= {"name": name, "is_paused": False}
        if study_table is _CLAIMS:  # a lease that ran out might still run by the target's clock
            for row in rows:
                row["expires_at"] = GIVEN_BACK if row["state"] == "live" else row["expires_at"]
        for row in rows:
            row |= {column: backend.as_stored(value) for column, value in row.items()}
    return Contents(fitted)


def _write(
    connection: sa.Connection,
    study_id: int,
    contents: Contents,
    count_rows: Callable[[int, int], None],
) -> None:
    ids: dict[str, Ids] = {"study_id": {(): study_id}}
    n_written = len(contents.rows[_DIRECTIONS])  # Optuna has written them with the study
    for study_table in STUDY_TABLES:
        if study_table is not _DIRECTIONS:
            rows = _with_ids(study_table, contents.rows[study_table], ids)
            while batch := list(islice(rows, BATCH)):
                connection.execute(sa.insert(study_table.table), batch)
                count_rows(n_written := n_written + len(batch), contents.n_rows)
        if study_table is _TRIALS:
            ids["trial_id"] = _trial_ids(connection, study_id)
        elif study_table is _CLAIMS:
            ids["claim_id"] = _claim_ids(connection, study_id)


def _with_ids(
    study_table: _StudyTable, rows: Rows, ids: dict[str, Ids]
) -> Iterator[dict[str, Any]]:
    """The rows of one table, with the ids of the database to which they are copied."""
    key, columns = [c.name for c in study_table.key], [c.name for c in study_table.columns]
    owners = ids[study_table.owner_id]
    for row in rows:
        row_with_ids = {name: row[name] for name in columns}
        row_with_ids[study_table.owner_id] = owners[tuple(row[name] for name in key)]
        if study_table is _CLAIMS:
            row_with_ids["trial_id"] = ids["trial_id"][(row["trial"],)]
        elif study_table is _NOTES:
            row_with_ids["key"] = _with_id(row["key"], ids["trial_id"])
        yield row_with_ids


def _trial_ids(connection: sa.Connection, study_id: int) -> Ids:
    ids = optuna_tables.ids_by_number(connection, study_id)
    return {(number,): trial_id for number, trial_id in ids.items()}


def _claim_ids(connection: sa.Connection, study_id: int) -> Ids:
    query = sa.select(hpo_claims.c.kind, hpo_claims.c.trial, hpo_claims.c.part, hpo_claims.c.id)
    rows = connection.execute(query.where(hpo_claims.c.study_id == study_id))
    return {(kind, trial, part): id_ for kind, trial, part, id_ in rows}
