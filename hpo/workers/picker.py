"""Choosing the study that a worker works on next: a named study, or the least done study."""

from functools import partial
from typing import Any, Protocol

from hpo import events
from hpo.errors import DamagedError, HpoError
from hpo.studies import lifecycle
from hpo.studies.lifecycle import Study, StudyKey
from hpo.studies.status import Status, show
from hpo.workers.reporter import Retry
from storage.claims import Idle
from storage.engine import Database
from storage.errors import StudyMissingError


MAX_WAITS = 5
"""Polls without work before a worker without `--study` switches to another study."""


class Picker(Protocol):
    """Picks the studies of a worker, one after another, and decides how long it stays with each."""

    def next(self) -> Study | None:
        """The study to work on now; None if no study has work."""

    def refused(self, study: Study, error: HpoError) -> None:
        """Called when the study cannot be worked on here: raise the error, or skip the study."""

    def deleted(self, error: StudyMissingError) -> None:
        """Called when the study was deleted: raise the error, or continue with another study."""

    def waits(self, study: Study, idle: Idle, n_waits: int) -> bool:
        """Whether the worker polls this study again, after `n_waits` polls without work."""


class NamedStudy:
    """Picks one study by its name. The worker stays until the study is complete."""

    def __init__(self, db: Database, retry: Retry[Any], name: str) -> None:
        self._db, self._retry, self._name = db, retry, name
        self._is_pause_reported = False

    def next(self) -> Study | None:
        """The study, or None once it is complete.

        Raises:
            StudyMissingError: the database has no study of this name.
        """
        study: Study = self._retry(partial(lifecycle.open_study, self._db, self._name))
        status: Status = self._retry(partial(show, self._db, study))
        return None if status.is_complete else study

    def refused(self, study: Study, error: HpoError) -> None:
        raise error

    def deleted(self, error: StudyMissingError) -> None:
        raise error

    def waits(self, study: Study, idle: Idle, n_waits: int) -> bool:
        if idle is Idle.PAUSED and not self._is_pause_reported:
            message = f"study {study.name} is paused; it goes on after: hpo study resume"
            events.warn("study_paused", f"{message} {study.name}", study=study.name)
        self._is_pause_reported = idle is Idle.PAUSED
        return idle is not Idle.COMPLETE


class LeastDoneStudies:
    """All studies of the database, the least done first.

    A study that this machine cannot work on is skipped from then on. A study whose remaining work
    is held by other workers is deferred until every other study was tried.
    """

    def __init__(self, db: Database, retry: Retry[Any]) -> None:
        self._db, self._retry = db, retry
        self._deferred: set[StudyKey] = set()
        self.left_out: dict[StudyKey, HpoError] = {}

    def next(self) -> Study | None:
        """The unfinished study with the smallest share of finished trials."""
        studies, unreadable = self._retry(partial(lifecycle.all_studies, self._db))
        for study in unreadable:
            self._leave_out(study.key, study.name, study.error)
        open_studies = [
            (status.trials.finished / status.trials.target, study.id, study)
            for study, status in self._with_status(studies)
            if not (status.is_complete or status.paused or study.key in self.left_out)
        ]
        if all(study.key in self._deferred for *_, study in open_studies):
            self._deferred.clear()
        ready = [entry for entry in open_studies if entry[-1].key not in self._deferred]
        return min(ready)[-1] if ready else None

    def refused(self, study: Study, error: HpoError) -> None:
        self._leave_out(study.key, study.name, error)

    def deleted(self, error: StudyMissingError) -> None:
        """Do nothing: `next` reads the studies from the database again."""

    def waits(self, study: Study, idle: Idle, n_waits: int) -> bool:
        if idle is Idle.WAIT and n_waits > MAX_WAITS:
            self._deferred.add(study.key)
        return idle is Idle.WAIT and n_waits <= MAX_WAITS

    def _with_status(self, studies: list[Study]) -> list[tuple[Study, Status]]:
        """The studies with their status, without those that are damaged or were deleted."""
        with_status: list[tuple[Study, Status]] = []
        for study in studies:
            try:
                with_status.append((study, self._retry(partial(show, self._db, study))))
            except DamagedError as error:
                self._leave_out(study.key, study.name, error)
            except StudyMissingError:
                continue
        return with_status

    def _leave_out(self, key: StudyKey, name: str, error: HpoError) -> None:
        if key not in self.left_out:
            message = f"study {name} is left out here: {error}"
            events.warn("study_left_out", message, study=name)
        self.left_out[key] = error
