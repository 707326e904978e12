"""The worker's loop: claim a piece of work, do it, record it, until nothing is missing."""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from hpo import events
from hpo.errors import HpoError, InputError
from hpo.machine import find_device
from hpo.reports.formatting import last_line
from hpo.studies import lifecycle
from hpo.studies.checks import check_machine, check_own_code
from hpo.studies.lifecycle import Study, Unreadable
from hpo.studies.status import Status, show
from hpo.subprocesses.stop import Stop
from hpo.training.fit import repeatable
from hpo.workers.execution import Executor
from hpo.workers.limits import Limits
from hpo.workers.objective import Objective
from hpo.workers.plan import make_plan
from storage import claims
from storage.claims import Idle
from storage.engine import Database
from storage.errors import StorageError, StudyMissingError
from storage.leases import Claim, Result


T = TypeVar("T")


LONGEST_WAIT_S = 1.0
"""An idle worker asks again after at most this long."""

MOST_WAITS = 5
"""So often a worker of any study asks for more of the same before it looks for another."""

MAX_VECTORIZED = 16
"""So many test runs at most are trained as one model."""


@dataclass
class Worker:
    """One process that works on studies of a database; `index` tells those of one host apart.

    `stacked`: whether folds and test runs are trained as one model; None for on a GPU.
    """

    db: Database
    limits: Limits = field(default_factory=Limits)
    device_name: str = "auto"
    index: int = 0
    stop: Stop = field(default_factory=Stop)
    vectorized: bool | None = None

    def __post_init__(self) -> None:
        self.name = events.worker_name(self.index)
        self.device = find_device(self.device_name)
        self._is_vectorizing = (
            self.device.type == "cuda" if self.vectorized is None else self.vectorized
        )
        self._n_trials = self._n_failures = 0
        self._refused: dict[float, HpoError] = {}
        self._idle: set[float] = set()
        self._started = time.monotonic()

    def run(self, study_name: str | None) -> None:
        """Executor on the study until it is complete; on the least done ones where none is named.

        Raises:
            HpoError: a study has ended with no trial complete, or too many trials failed in a row.
            InputError: this machine lacks what the study needs; where none is named, what all need.
            StudyMissingError: there is no such study.
            StoppedError: a signal asked to stop; the work was given back.
        """
        events.emit("worker_started", worker=self.name)
        try:
            self._run(study_name)
        finally:
            events.emit("worker_ended", worker=self.name)

    def _run(self, study_name: str | None) -> None:
        worked_on: dict[float, Study] = {}
        named = study_name is not None
        with repeatable():
            while not self._is_over():
                study = self._next(study_name)
                if study is None:
                    if not self.limits.wait:
                        break
                    self._pause()
                elif (objective := self._prepared(study, named=named)) is not None:
                    worked_on[study.created_at] = study
                    self._work_on(study, objective, named=named)
        if self._refused and not worked_on:
            raise next(iter(self._refused.values()))
        for study in worked_on.values():
            with suppress(StudyMissingError):
                _check_outcome(self._status(study))

    def _next(self, name: str | None) -> Study | None:
        """The named study, else the one that is least done; None where nothing is left to do."""
        if name is not None:
            found = [self._retry(lambda: lifecycle.open_study(self.db, name))]
        else:
            found, unreadable = self._retry(lambda: lifecycle.every(self.db))
            for each in unreadable:
                self._leave_out(each, each.error)
        standing = []
        for study in found:
            with suppress(StudyMissingError) if name is None else nullcontext():
                standing.append((self._status(study), study))
        if name is not None and not self.limits.wait:
            _check_outcome(standing[0][0])
        unfinished = [
            (_share(status), study.id, study)
            for status, study in standing
            if not status.is_complete
            and study.created_at not in self._refused
            and (name is not None or not status.paused)
        ]
        if not [each for *_, each in unfinished if each.created_at not in self._idle]:
            self._idle.clear()
        unfinished = [each for each in unfinished if each[-1].created_at not in self._idle]
        return min(unfinished)[-1] if unfinished else None

    def _prepared(self, study: Study, *, named: bool) -> Objective | None:
        """What this machine needs for the study; None where it lacks it and others may be done."""
        try:
            if not self.limits.foreign_code:
                check_own_code(study.protocol.architecture, study.protocol.dataset)
            check_machine(study.protocol)
            return Objective(
                self.db, study, self.device, self._retry, vectorized=self._is_vectorizing
            )
        except InputError as error:
            if named:
                raise
            self._leave_out(study, error)
            return None

    def _leave_out(self, study: Study | Unreadable, error: HpoError) -> None:
        """Say once why a study is not worked on here."""
        if study.created_at not in self._refused:
            words = f"study {study.name} is left out here: {error}"
            events.warn("study_left_out", words, study=study.name)
        self._refused[study.created_at] = error

    def _status(self, study: Study) -> Status:
        return self._retry(lambda: show(self.db, study))

    def _work_on(self, study: Study, objective: Objective, *, named: bool) -> None:
        """Executor on one study until nothing is missing, a limit is reached or it was deleted.

        One that was not named is left, too, while others hold the rest of it.
        """
        wanted = make_plan(study.protocol)
        work = Executor(self.db, study, objective, self.device, self.stop, self._retry)

        def ask() -> Claim | Idle:
            created_at = study.created_at
            return claims.claim(self.db, study.id, wanted, self.name, created_at=created_at)

        is_told, n_waits = False, 0
        while not self._is_over():
            self.stop.check()
            try:
                claimed = self._retry(ask)
            except StudyMissingError:
                events.emit("study_deleted", study=study.name)
                self.db.forget()
                if named:
                    raise
                return
            if claimed is Idle.COMPLETE or (claimed is Idle.PAUSED and not named):
                return
            if isinstance(claimed, Claim):
                self._do(work, self._with_others(claimed, work, ask))
                n_waits = 0
                continue
            n_waits += 1
            if not named and n_waits > MOST_WAITS:
                self._idle.add(study.created_at)
                return
            if claimed is Idle.PAUSED and not is_told:
                words = f"study {study.name} is paused; it goes on after: hpo study resume"
                events.warn("study_paused", f"{words} {study.name}", study=study.name)
            is_told = claimed is Idle.PAUSED
            self._pause()

    def _with_others(
        self, claim: Claim, work: Executor, ask: Callable[[], Claim | Idle]
    ) -> list[Claim]:
        """The claim; where models are stacked, a test run with further ones of the same trial."""
        held = [claim]
        while self._is_vectorizing and claim.kind == "test" and len(held) < MAX_VECTORIZED:
            try:
                more = self._retry(ask)
            except StudyMissingError:
                break  # as the work will find out
            except (HpoError, StorageError):
                work.release_all(held)
                raise
            if not isinstance(more, Claim):
                break
            if (more.kind, more.trial) != (claim.kind, claim.trial):
                work.release(more)
                break
            held.append(more)
        return held

    def _do(self, work: Executor, held: Sequence[Claim]) -> None:
        for outcome in work.do(held):
            if held[0].kind == "trial":
                self._count(outcome, work.study)

    def _count(self, outcome: Result, study: Study) -> None:
        """Count a trial; a network or a machine that fails again and again is not to use up all.

        Raises:
            HpoError: too many trials in a row have failed.
        """
        self._n_trials += 1
        self._n_failures = self._n_failures + 1 if outcome.outcome == "failed" else 0
        if self._n_failures >= self.limits.max_failures:
            raise HpoError(
                f"{self._n_failures} trials of study {study.name!r} failed in a row, the last "
                f"with: {last_line(outcome.failure)}; see hpo study trials {study.name}, mend the "
                "cause and start a worker again, or raise --max-failures"
            )

    def _is_over(self) -> bool:
        limits, elapsed = self.limits, time.monotonic() - self._started
        over = limits.max_trials is not None and self._n_trials >= limits.max_trials
        return over or (limits.timeout_s is not None and elapsed >= limits.timeout_s)

    def _pause(self) -> None:
        self.stop.wait(random.uniform(0.3, 1.0) * LONGEST_WAIT_S)

    def _retry(self, action: Callable[[], T]) -> T:
        timeout_s = self.limits.storage_timeout_s
        return self.db.retry(action, timeout_s=timeout_s, wait=self.stop.wait)


def _share(status: Status) -> float:
    return status.trials.finished / status.trials.target


def _check_outcome(status: Status) -> None:
    """A study whose every trial failed has no result.

    Raises:
        HpoError: this one is such a study.
    """
    if status.is_complete and status.best is None:
        raise HpoError(
            f"no trial of study {status.name!r} is complete: {status.trials.failed} failed; "
            f"see why with: hpo study trials {status.name}"
        )
