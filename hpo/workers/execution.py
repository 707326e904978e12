"""Doing claimed work: renewing its leases meanwhile, then recording results or giving work back."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from hpo import events
from hpo.errors import NOT_GIVEN_BACK, DataError, HpoError, InputError, StoppedError
from hpo.evaluation import repeated_seeds
from hpo.foreign_code.failures import last_line
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study
from hpo.subprocesses.stop import Stop
from hpo.training.fit import DivergedError, Training
from hpo.workers.boundary import failure_of, own
from hpo.workers.objective import Objective, make_result
from hpo.workers.reporter import Reporter, Retry
from storage import leases, studies
from storage.engine import Database
from storage.errors import LeaseLostError, StorageError, StudyMissingError, UnreachableError
from storage.leases import Claim, Heartbeat, Result


RELEASE_S = 3.0
"""Maximum seconds that a stopping worker tries to give its work back.

After that, other workers can take the work only when its lease has run out.
"""


@dataclass(frozen=True)
class Executor:
    """Does claimed work of one study.

    `retry` repeats a database call while the database does not answer.

    A method that takes several claims takes one claim of any kind, or several test runs of the
    same trial.
    """

    db: Database
    study: Study
    objective: Objective
    device: torch.device
    stop: Stop
    retry: Retry[Any]

    def do(self, claims: Sequence[Claim]) -> list[Result]:
        """Do claimed work, record and log it; the recorded results.

        Work that fails is recorded as failed. Work whose lease is lost is not recorded.

        Raises:
            StoppedError: a signal asked to stop; the work was given back.
            HpoError: this machine cannot do the work; the work was given back.
        """
        for claim in claims:
            events.emit("claimed", late_s=_rounded_to_ms(claim.late_s), **self._facts(claim))
        with ExitStack() as running:
            heartbeats = [running.enter_context(Heartbeat(self.db, claim)) for claim in claims]

            def pause() -> None:
                for heartbeat in heartbeats:
                    heartbeat.check()
                self.stop.check()

            return self._do_and_record(claims, own(pause))

    def _do_and_record(self, claims: Sequence[Claim], pause: Callable[[], None]) -> list[Result]:
        """Do and record the work; if an error ends it, give back the unfinished claims."""
        unfinished, recorded = list(claims), list[Result]()
        started = time.monotonic()
        try:
            for claim, result in self._results(claims, pause):
                if self._record(claim, result, started):
                    recorded.append(result)
                unfinished.remove(claim)
        except (LeaseLostError, StudyMissingError):
            self.release_all(unfinished)
        except StoppedError as error:
            if not self.release_all(unfinished):
                raise StoppedError(error.signal_number, NOT_GIVEN_BACK) from error
            raise
        except StorageError:
            raise  # the database cannot be used, so nothing can be given back either
        except HpoError:
            self.release_all(unfinished)
            raise
        return recorded

    def _record(self, claim: Claim, result: Result, started: float) -> bool:
        """Record and log a result; False if the lease is lost. `started` is a monotonic time."""
        facts = self._facts(claim)
        try:
            self.retry(lambda: leases.record(self.db, claim, result))
        except (LeaseLostError, StudyMissingError):
            self._report_lost(facts)
            return False
        seconds = round(time.monotonic() - started, 3)
        ending = {"outcome": result.outcome, "error": result.error, "seconds": seconds}
        events.emit("finished", failure=last_line(result.failure), **ending, **facts)
        return True

    def _report_lost(self, facts: dict[str, Any]) -> None:
        events.emit("lease_lost", **facts)
        self.db.clear_cache()

    def _results(
        self, claims: Sequence[Claim], pause: Callable[[], None]
    ) -> Iterator[tuple[Claim, Result]]:
        """The result of each claim; several test runs are trained as one model.

        If that fails, each test run is trained alone, so that only the faulty one is failed.
        """
        results = self._vectorized(claims, pause) if len(claims) > 1 else None
        if results is not None:
            yield from zip(claims, results, strict=True)
            return
        for claim in claims:
            yield claim, self._result(claim, pause)

    def _vectorized(
        self, claims: Sequence[Claim], pause: Callable[[], None]
    ) -> list[Result] | None:
        """The results of test runs that are trained as one model; None if the training fails."""
        reporters = [self._reporter(claim) for claim in claims]
        try:
            return self._test_runs(claims, reporters, pause)
        except BaseException as error:  # noqa: BLE001  a user's network may raise anything
            reason = last_line(self._failure_of(error))
            message = f"test runs are trained one by one, because as one model they fail: {reason}"
            if not isinstance(error, (DivergedError, InputError)):
                events.warn("not_stacked", message, architecture=self.study.protocol.architecture)
            return None

    def _result(self, claim: Claim, pause: Callable[[], None]) -> Result:
        """The result of one claim; whatever a user's network raises makes it a failed result."""
        reporter = self._reporter(claim)
        try:
            if claim.kind == "trial":
                return self.objective.run(claim, reporter, pause)
            return self._test_runs([claim], [reporter], pause)[0]
        except BaseException as error:  # noqa: BLE001  a user's network may raise anything
            return _failed(self._failure_of(error), reporter)

    def _reporter(self, claim: Claim) -> Reporter:
        return Reporter(self.db, claim, own(self.retry))

    def _failure_of(self, error: BaseException) -> str:
        """Why work failed; raises hpo's own errors, and an error if a signal asked to stop."""
        failure = failure_of(error)
        self.stop.check()  # the signal may have reached processes of the network first
        return failure

    def _test_runs(
        self, claims: Sequence[Claim], reporters: Sequence[Reporter], pause: Callable[[], None]
    ) -> list[Result]:
        """The results of test runs of one trial, which are trained together."""
        protocol, trial = self.study.protocol, claims[0].trial
        protocol, trial = self.study.protocol, claims[0].trial
        params = own(self._configuration)(trial)
        draw = own(repeated_seeds.draw_split, (DataError,))  # other errors fail the test run
        splits = {claim.seed: draw(protocol, claim.seed, self.device) for claim in claims}
        trainings: list[Training] = []
        for trainings in repeated_seeds.run_together(protocol, trial, params, splits, self.device):
            pause()
            for reporter in reporters:
                reporter.advance(len(trainings[0].curve))
        pairs = zip(trainings, reporters, strict=True)
        return [make_result("complete", [training], reporter) for training, reporter in pairs]

    def _configuration(self, trial: int) -> dict[str, Any]:
        """The configuration of a trial, in the recipe's form.

        Raises:
            StudyMissingError: the study was deleted.
            DamagedError: the parameters of the trial are damaged.
        """
        with damage_reported(self.study.name):
            stored = self.retry(lambda: studies.parameters(self.db, self.study.id))
            return self.study.protocol.search_space.decode(stored[trial])

    def release_all(self, claims: Sequence[Claim]) -> bool:
        """Give back every claim; False if the database did not answer for some claim."""
        are_given_back = [self.release(claim) for claim in claims]
        return all(are_given_back)

    def release(self, claim: Claim) -> bool:
        """Give a claim back; False if the database does not answer, so the lease must run out."""
        facts = self._facts(claim)
        try:
            self.db.retry(lambda: leases.release(self.db, claim), timeout_s=RELEASE_S)
        except LeaseLostError:
            self._report_lost(facts)
            return True
        except UnreachableError:
            return False
        events.emit("released", **facts)
        return True

    def _facts(self, claim: Claim) -> dict[str, Any]:
        """The facts of an event about a claim; `part` is the seed of a test run, 0 for a trial."""
        seed = claim.seed if claim.kind == "test" else 0
        work = {"kind": claim.kind, "trial": claim.trial, "part": seed}
        return {"worker": claim.worker, "study": self.study.name, **work, "attempt": claim.token}


def _failed(failure: str, reporter: Reporter) -> Result:
    """A failed result, with the epochs done and the errors measured before the failure."""
    n_epochs, errors = reporter.n_epochs, reporter.unreported
    return Result(outcome="failed", failure=failure, n_epochs=n_epochs, errors=errors)


def _rounded_to_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
