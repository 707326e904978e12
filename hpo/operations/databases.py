"""The upkeep of a database: checking it, upgrading its tables, copying a study to another one."""

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpo import protocol as protocols
from hpo.errors import HpoError
from hpo.studies.lifecycle import open_database, storage_url
from hpo.studies.names import checked_name
from storage import audit, copying, health, studies
from storage.engine import Database
from storage.errors import StorageError, StudyMissingError
from storage.health import Health
from storage.schema import Tables
from storage.studies import StudyRow


Verdict = Literal["good", "note", "bad"]

LITTLE_ROOM = 100_000_000
"""Bytes on an SQLite database's disk that are worth a word when fewer are free."""

MOST_TOLD = 3
"""So many of a study's differences are told one by one."""

TOLD_S = 2.0
"""A copy that takes longer says how far it is, and again after as long."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at; only a bad one keeps hpo from working."""

    what: str
    verdict: Verdict
    words: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found in a database; `unusable` is what keeps hpo from using it at all."""

    findings: list[Finding]
    unusable: StorageError | None

    @property
    def is_good(self) -> bool:
        """Whether nothing bad was found."""
        return all(finding.verdict != "bad" for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A study that was copied: the databases' names, trials that were started, rows in all."""

    name: str
    source: str
    target: str
    n_started: int
    n_rows: int


def check_storage(storage: str | None = None) -> Check:
    """Look at a database and audit each of its studies; changes nothing.

    Raises:
        EmptyStorageError: there is none, or it holds no tables.
        StorageError: it does not answer.
    """
    found = health.examine(storage_url(storage))
    findings = list(findings_of(found))
    try:
        with closing(open_database(storage)) as db:
            findings += _damage(db)
            rows = studies.every(db)
            findings.append(_finding("studies", str(len(rows))))
            findings += [finding for row in rows for finding in _audit(db, row)]
    except StorageError as error:
        return Check(findings=findings, unusable=error)
    return Check(findings=findings, unusable=None)


def findings_of(health: Health) -> Iterator[Finding]:
    """What a database is, whether its tables are this program's, and whether it can be written."""
    yield _finding("database", f"{health.name}, {health.server}")
    for tables in health.tables:
        good = f"version {tables.version}, as this program needs"
        yield _finding(f"tables of {tables.package}", good, tables.problem)
    refusal = health.refusal
    mend = f"{refusal}; give its user the right to write" if refusal else None
    yield _finding("writing", "can be written", mend)
    if health.file is not None:
        yield _room(health.file.resolve().parent)


def _finding(what: str, good: str, bad: str | None = None) -> Finding:
    return Finding(what=what, verdict="bad" if bad else "good", words=bad or good)


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    words = f"{free / 1e6:,.0f} MB free in {folder}"
    if free < LITTLE_ROOM:
        return Finding(what="room", verdict="note", words=f"{words}; make some before it is full")
    return _finding("room", words)


def _damage(db: Database) -> Iterator[Finding]:
    damage = health.damage(db)
    if damage is not None:
        bad = f"{_few(damage)}; restore a backup of {db.name}" if damage else None
        yield _finding("integrity", "SQLite finds its file sound", bad)


def _audit(db: Database, row: StudyRow) -> Iterator[Finding]:
    """What is wrong with a study; nothing where it was deleted meanwhile."""
    try:
        n_folds = protocols.read(row.protocol, row.name).folds
        differences = audit.differences(db, row.study_id, n_folds=n_folds)
    except StudyMissingError:
        return
    except HpoError as error:
        differences = [str(error)]
    mend = f"no worker writes that: restore a backup, or run hpo study delete {row.name} --yes"
    bad = f"{_few(differences)}; {mend}" if differences else None
    good = f"consistent, {row.n_started} of {row.n_trials} trials started"
    yield _finding(f"study {row.name}", good, bad)


def _few(lines: list[str]) -> str:
    rest = len(lines) - MOST_TOLD
    return "; ".join(lines[:MOST_TOLD]) + (f"; and {rest} more" if rest > 0 else "")


def upgrade_storage(storage: str | None = None) -> tuple[Tables, Tables]:
    """Bring hpo's and Optuna's tables to the versions of this program; gives how they stood.

    Workers may go on meanwhile; a second upgrade at the same time waits for the first.

    Raises:
        EmptyStorageError: there are none.
        OutdatedError: they are newer than this program.
        StorageError: the database cannot be used.
    """
    return health.upgrade(storage_url(storage))


def copy_study(
    name: str,
    to: str,
    storage: str | None = None,
    *,
    new_name: str | None = None,
    progress: bool = False,
) -> Copied:
    """Copy a study to the database at the URL `to`, under `new_name` where one is given.

    All of it is there in the end, compared with the source, or nothing. What is unfinished can be
    gone on with there at once; a copy is not paused. `progress` shows on stderr how far it is.

    Raises:
        InputError: the new name cannot name a study.
        StudyMissingError: there is no such study.
        StudyBusyError: workers are at work on it.
        StudyExistsError: the name is taken there.
        CopyError: what can be read there is not what was written.
        StorageError: a database cannot be used.
    """
    named = name if new_name is None else checked_name(new_name)
    with closing(open_database(storage)) as source:
        contents = copying.take(source, name)
        origin = source.name
    with closing(Database(to, create=True)) as target:
        copying.put(target, named, contents, _Teller() if progress else _silent)
        return Copied(
            name=named,
            source=origin,
            target=target.name,
            n_started=contents.n_trials,
            n_rows=contents.n_rows,
        )


class _Teller:
    """Says on stderr how far a copy is, now and then."""

    def __init__(self) -> None:
        self._told = time.monotonic()

    def __call__(self, done: int, of_all: int) -> None:
        if time.monotonic() - self._told > TOLD_S:
            self._told = time.monotonic()
            print(f"{done:,} of {of_all:,} rows copied", file=sys.stderr, flush=True)


def _silent(done: int, of_all: int) -> None:
    """For programs, which do not watch."""
