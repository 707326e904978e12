"""The worker's loop: claim a piece of work, do it and record it, until no work is left."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from hpo import events
from hpo.errors import DamagedError, HpoError, InputError
from hpo.foreign_code.failures import last_line
from hpo.machine import find_device
from hpo.studies.checks import check_machine
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study, StudyKey, open_study
from hpo.studies.results import check_has_result, reasons_of
from hpo.studies.status import show
from hpo.subprocesses.stop import Stop
from hpo.training.fit import repeatable
from hpo.training.sharing import SharedNetworkError
from hpo.workers.boundary import own
from hpo.workers.execution import Executor
from hpo.workers.limits import Limits
from hpo.workers.objective import Objective
from hpo.workers.picker import LeastDoneStudies, NamedStudy, Picker
from hpo.workers.plan import make_plan
from storage import claims
from storage.claims import Idle, Plan
from storage.engine import Database
from storage.errors import StudyMissingError
from storage.leases import Claim, Result


T = TypeVar("T")

LONGEST_POLL_S = 1.0
"""An idle worker asks the database for work again after at most this many seconds."""

MAX_VECTORIZED = 16
"""Maximum number of test runs that are trained as one model."""


@dataclass
class Worker:
    """One process that works on studies of a database.

    `index` distinguishes the workers of one command. With `vectorized` folds and test runs are
    trained as one model; None means so on a GPU and not on a CPU.
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
        self._started = time.monotonic()

    def run(self, study_name: str | None) -> None:
        """Work on the named study until it is complete; without a name, on the least done ones.

        Raises:
            HpoError: a study is complete without a complete trial or test run, or too many trials
                failed in a row.
            InputError: this machine lacks what the study needs; without a name, what every study
                needs.
            StudyMissingError: the database has no study of this name.
            StoppedError: a signal asked to stop; the work was given back.
        """
        events.emit("worker_started", worker=self.name)
        try:
            with repeatable():
                self._run(study_name)
        finally:
            events.emit("worker_ended", worker=self.name)

    def _run(self, study_name: str | None) -> None:
        if study_name is not None:
            self._work_on_all(NamedStudy(self.db, self._retry, study_name))
            self._check_result(self._retry(partial(open_study, self.db, study_name)))
            return
        least_done = LeastDoneStudies(self.db, self._retry)
        worked_on = self._work_on_all(least_done)
        for study in worked_on.values():
            try:
                self._check_result(study)
            except DamagedError as error:
                least_done.refused(study, error)
            except StudyMissingError:
                continue
        if least_done.left_out and not worked_on:
            raise next(iter(least_done.left_out.values()))

    def _work_on_all(self, picker: Picker) -> dict[StudyKey, Study]:
        """Work on one study after another until no study has work; the studies worked on."""
        worked_on: dict[StudyKey, Study] = {}
        while not self._is_over():
            study = picker.next()
            if study is not None:
                executor = self._prepare(study, picker)
                if executor is not None and self._works_on(executor, picker):
                    worked_on[study.key] = study
            elif self.limits.wait:
                self._poll_later()
            else:
                break
        return worked_on

    def _check_result(self, study: Study) -> None:
        """Check that the study has a result if it is complete; warn of failed test runs.

        Raises:
            HpoError: the study is complete, and every trial or every test run failed.
        """
        status = self._retry(partial(show, self.db, study))
        check_has_result(status)
        if status.best is not None and (failed := status.best.failed_test_runs):
            reasons = "; ".join(reasons_of(failed))
            n = f"{len(failed)} of {status.best.n_tested}"
            message = f"{n} test runs of study {study.name} failed: {reasons}"
            events.warn("test_runs_failed", message, study=study.name, n=len(failed))

    def _prepare(self, study: Study, picker: Picker) -> Executor | None:
        """The executor of a study's work; None if this machine lacks what the study needs."""
        protocol = study.protocol
        try:
            check_machine(protocol)
            vectorized = self._is_vectorizing
            retry = own(self._retry)
            objective = Objective(self.db, study, self.device, retry, vectorized=vectorized)
        except InputError as error:
            picker.refused(study, error)
            return None
        return Executor(self.db, study, objective, self.device, self.stop, self._retry)

    def _works_on(self, executor: Executor, picker: Picker) -> bool:
        """Work on one study; False if it cannot be worked on, so that the picker refuses it."""
        try:
            self._work_on(executor, picker)
        except (DamagedError, SharedNetworkError) as error:
            picker.refused(executor.study, error)
            return False
        return True

    def _work_on(self, executor: Executor, picker: Picker) -> None:
        """Claim and do the work of one study for as long as the picker stays with it."""
        study, plan, n_waits = executor.study, make_plan(executor.study.protocol), 0
        while not self._is_over():
            self.stop.check()
            try:
                claimed = self._claim(study, plan)
            except StudyMissingError as error:
                events.emit("study_deleted", study=study.name)
                self.db.clear_cache()
                picker.deleted(error)
                return
            if isinstance(claimed, Claim):
                self._do(executor, claimed, plan)
                n_waits = 0
                continue
            n_waits += 1
            if not picker.waits(study, claimed, n_waits):
                return
            self._poll_later()

    def _claim(self, study: Study, plan: Plan) -> Claim | Idle:
        created_at = study.created_at
        with damage_reported(study.name):
            return self._retry(
                lambda: claims.claim(self.db, study.id, plan, self.name, created_at=created_at)
            )

    def _do(self, executor: Executor, claim: Claim, plan: Plan) -> None:
        """Do the claimed work, together with further test runs that can be trained as one model."""
        for result in executor.do(self._with_further_test_runs(claim, executor, plan)):
            if claim.kind == "trial":
                self._count(result, executor.study)

    def _with_further_test_runs(self, claim: Claim, executor: Executor, plan: Plan) -> list[Claim]:
        """The claim; if training is vectorized, also claims on further test runs of the trial."""
        claimed = [claim]
        while self._is_vectorizing and claim.kind == "test" and len(claimed) < MAX_VECTORIZED:
            try:
                further = self._claim(executor.study, plan)
            except StudyMissingError:
                break  # the work on the first claim finds out, too
            except HpoError:
                executor.release_all(claimed)
                raise
            if not isinstance(further, Claim):
                break
            if (further.kind, further.trial) != (claim.kind, claim.trial):
                executor.release(further)
                break
            claimed.append(further)
        return claimed

    def _count(self, result: Result, study: Study) -> None:
        """Count a finished trial.

        A limit on failures in a row keeps a broken network from using up the whole budget.

        Raises:
            HpoError: too many trials have failed in a row.
        """
        self._n_trials += 1
        self._n_failures = self._n_failures + 1 if result.outcome == "failed" else 0
        if self._n_failures >= self.limits.max_failures:
            raise HpoError(
                f"{self._n_failures} trials of study {study.name!r} failed in a row, the last "
                f"with: {last_line(result.failure)}; see hpo study trials {study.name}, fix the "
                "cause and start a worker again, or raise --max-failures"
            )

    def _is_over(self) -> bool:
        limits, elapsed_s = self.limits, time.monotonic() - self._started
        is_enough = limits.max_trials is not None and self._n_trials >= limits.max_trials
        return is_enough or (limits.timeout_s is not None and elapsed_s >= limits.timeout_s)

    def _poll_later(self) -> None:
        self.stop.wait(random.uniform(0.3, 1.0) * LONGEST_POLL_S)

    def _retry(self, action: Callable[[], T]) -> T:
        timeout_s = self.limits.storage_timeout_s
        return self.db.retry(action, timeout_s=timeout_s, wait=self.stop.wait)
