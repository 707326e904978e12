"""Check a database, upgrade its tables, copy a study, delete the records of a lost study."""

import shutil
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hpo import events
from hpo.arguments import checked
from hpo.errors import DamagedError
from hpo.operations.audit import problems
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import lease_s, open_database, storage_url
from hpo.studies.names import checked_name
from storage import copying, health, orphans, studies
from storage.audit import dangling
from storage.engine import Database
from storage.errors import StorageError, StudyMissingError
from storage.health import Health
from storage.schema import Tables
from storage.studies import StudyRow


Verdict = Literal["good", "note", "bad"]

MIN_FREE_BYTES = 100_000_000
"""Free bytes on the disk of an SQLite database; a check notes when fewer are free."""

MAX_LISTED = 3
"""Problems of a study or a file that a check lists one by one; further ones are only counted."""

PROGRESS_S = 2.0
"""Minimum seconds between two progress messages of a copy."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The result of one check.

    `what` names the checked thing. With the verdict "bad", hpo cannot work correctly. A "note" is
    only information. `words` describes the result, and what to do about a bad one.
    """

    what: str
    verdict: Verdict
    words: str


@dataclass(frozen=True, kw_only=True)
class Check:
    """The results of checking a database.

    If hpo cannot use the database at all, `unusable` is the reason and the studies are not checked.
    """

    findings: list[Finding]
    unusable: StorageError | None

    @property
    def is_good(self) -> bool:
        """Whether no finding is bad."""
        return all(finding.verdict != "bad" for finding in self.findings)


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A study's copy: its name, both databases, the started trials, the rows of all tables."""

    name: str
    source: str
    target: str
    n_started: int
    n_rows: int


@checked
def check_storage(storage: str | None = None) -> Check:
    """Check a database and audit each of its studies, without changing anything.

    Raises:
        EmptyStorageError: the database does not exist or has no tables.
        StorageError: the database does not answer.
    """
    findings = list(findings_of(health.examine(storage_url(storage))))
    try:
        with closing(open_database(storage)) as db:
            findings += _damage(db)
            rows = studies.all_studies(db)
            findings.append(_finding("studies", str(len(rows))))
            findings.append(_dangling(db))
            findings += [finding for row in rows for finding in _audit(db, row)]
            findings += [_lost(orphan) for orphan in orphans.all_orphans(db)]
    except StorageError as error:
        return Check(findings=findings, unusable=error)
    return Check(findings=findings, unusable=None)


def findings_of(health: Health) -> Iterator[Finding]:
    """Findings about a database's server, table versions, write permission and disk space."""
    yield _finding("database", f"{health.name}, {health.server}")
    for tables in health.tables:
        good = f"version {tables.version}, as this program needs"
        yield _finding(f"tables of {tables.package}", good, tables.problem)
    if health.is_read_only:
        words = "the file or its folder is read-only: show, export and copy work, workers do not"
        yield Finding(what="writing", verdict="note", words=words)
        return
    refusal = health.refusal
    problem = f"{refusal}; give its user the right to write" if refusal else None
    yield _finding("writing", "can be written", problem)
    if health.file is not None:
        yield _free_space(health.file.resolve().parent)


def _finding(what: str, good: str, problem: str | None = None) -> Finding:
    """A finding whose text is `problem`, or `good` if there is no problem."""
    return Finding(what=what, verdict="bad" if problem else "good", words=problem or good)


def _free_space(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    words = f"{free / 1e6:,.0f} MB free in {folder}"
    if free < MIN_FREE_BYTES:
        return Finding(what="room", verdict="note", words=f"{words}; free some before it is full")
    return _finding("room", words)


def _damage(db: Database) -> Iterator[Finding]:
    damage = health.damage(db)
    if damage is not None:
        problem = f"{_shortened(damage)}; restore a backup of {db.name}" if damage else None
        yield _finding("integrity", "SQLite finds its file sound", problem)


def _dangling(db: Database) -> Finding:
    found = dangling(db)
    problem = f"{_shortened(found)}; no worker writes that: restore a backup" if found else None
    return _finding("rows", "each belongs to a study", problem)


def _audit(db: Database, row: StudyRow) -> Iterator[Finding]:
    """The finding about a study's records; none if the study was deleted in the meantime."""
    try:
        found = problems(db, row)
    except StudyMissingError:
        return
    repair = f"no worker writes that: restore a backup, or run hpo study delete {row.name} --yes"
    problem = f"{_shortened(found)}; {repair}" if found else None
    good = f"consistent, {row.n_started} of {row.n_trials} trials started"
    yield _finding(f"study {row.name}", good, problem)


def _lost(orphan: orphans.Orphan) -> Finding:
    return Finding(what=f"study {orphan.name}", verdict="bad", words=str(orphan))


def _shortened(problems: list[str]) -> str:
    """The first `MAX_LISTED` problems on one line, and the number of further ones."""
    n_more = len(problems) - MAX_LISTED
    return "; ".join(problems[:MAX_LISTED]) + (f"; and {n_more} more" if n_more > 0 else "")


@checked
def upgrade_storage(storage: str | None = None) -> tuple[Tables, Tables]:
    """Upgrade hpo's and Optuna's tables to the versions that this program needs.

    Returns the state of both before the upgrade. Workers can keep working during the upgrade. A
    second upgrade at the same time waits for the first.

    Raises:
        EmptyStorageError: the database has no tables.
        OutdatedError: the tables are newer than this program.
        StorageError: the database cannot be used.
    """
    return health.upgrade(storage_url(storage))


@checked
def copy_study(
    name: str,
    to: str,
    storage: str | None = None,
    *,
    new_name: str | None = None,
    progress: bool = False,
) -> Copied:
    """Copy a study to the database at the URL `to`, under `new_name` if that is given.

    A study whose records contradict each other is not copied. The copy is compared with the
    source. If the copy fails, the target database keeps nothing of it. Workers can continue
    unfinished work in the copy at once; a copy is never paused. With `progress`, the number of
    copied rows is logged every 2 seconds.

    Raises:
        InputError: the new name is not a valid study name.
        StudyMissingError: no study in the source has that name.
        StudyBusyError: workers are working on the study.
        StudyExistsError: the name is taken in the target database.
        DamagedError: the source is damaged.
        CopyError: the copied rows differ from those of the source.
        StorageError: one of the databases cannot be used.
    """
    target_name = name if new_name is None else checked_name(new_name)
    with closing(open_database(storage)) as source:
        with damage_reported(name):
            contents = copying.take(source, name, lease_s=lease_s(source, name))
        _check_sound(source, name)
        origin = source.name
    with closing(Database(to, create=True)) as target:
        copying.put(target, target_name, contents, _CopyProgress() if progress else _ignore)
        return Copied(
            name=target_name,
            source=origin,
            target=target.name,
            n_started=contents.n_trials,
            n_rows=contents.n_rows,
        )


def _check_sound(db: Database, name: str) -> None:
    """Check that the records of a study agree with each other.

    Raises:
        StudyMissingError: no study has that name.
        DamagedError: the audit of the study finds a problem.
    """
    if found := problems(db, studies.get(db, name)):
        raise DamagedError(
            f"the records of study {name!r} are damaged ({_shortened(found)}); restore a backup; "
            "see: hpo storage check"
        )


def purge_study(name: str, storage: str | None = None) -> None:
    """Delete hpo's records of a study that another program deleted or renamed.

    Raises:
        StudyMissingError: no records have that name.
        StudyExistsError: the study of that name is in Optuna's tables.
        StorageError: the database cannot be used.
    """
    with closing(open_database(storage)) as db:
        orphans.purge(db, name)


class _CopyProgress:
    """Logs the number of copied rows, at most once in `PROGRESS_S` seconds."""

    def __init__(self) -> None:
        self._logged_at = time.monotonic()

    def __call__(self, n_copied: int, n_rows: int) -> None:
        if time.monotonic() - self._logged_at > PROGRESS_S:
            self._logged_at = time.monotonic()
            events.inform("copying", f"{n_copied:,} of {n_rows:,} rows copied")


def _ignore(n_copied: int, n_rows: int) -> None:
    """Do not report progress."""
