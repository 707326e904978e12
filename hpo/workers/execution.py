"""Doing what a worker has claimed: beside it a heartbeat, after it the result, or given back."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from hpo import events
from hpo.errors import NOT_GIVEN_BACK, DataError, HpoError, InputError, StoppedError
from hpo.evaluation import repeated_seeds
from hpo.reports.formatting import last_line
from hpo.studies.lifecycle import Study
from hpo.subprocesses.stop import Stop
from hpo.training.fit import DivergedError, Training
from hpo.workers.objective import Objective, result
from hpo.workers.reporter import Reporter, Retry
from storage import leases, studies
from storage.engine import Database
from storage.errors import LeaseLostError, StorageError, StudyMissingError, UnreachableError
from storage.leases import Claim, Heartbeat, Result


RELEASE_S = 3.0
"""How long a worker that was told to stop tries to give its work back."""


@dataclass(frozen=True)
class Executor:
    """Does pieces of one study's work; `retry` does something on the database, again if need be."""

    db: Database
    study: Study
    objective: Objective
    device: torch.device
    stop: Stop
    retry: Retry[Any]

    def do(self, held: Sequence[Claim]) -> list[Result]:
        """Do pieces of work and record them, and say so; what was recorded.

        Lost work is left alone, failed work recorded. Several pieces are test runs of one trial.

        Raises:
            StoppedError: a signal asked to stop; the work was given back.
            HpoError: it cannot be done here; it was given back.
        """
        left = list(held)
        recorded: list[Result] = []
        begun = time.monotonic()
        for claim in held:
            events.emit("claimed", late_s=rounded(claim.late_s), **self.facts_of(claim))
        with ExitStack() as hearts:
            beating = [hearts.enter_context(Heartbeat(self.db, claim)) for claim in held]

            def pause() -> None:
                for heartbeat in beating:
                    heartbeat.check()
                self.stop.check()

            try:
                for claim, outcome in self._outcomes(held, pause):
                    if self._record(claim, outcome, begun):
                        recorded.append(outcome)
                    left.remove(claim)
            except (LeaseLostError, StudyMissingError):
                self.release_all(left)
            except StoppedError as error:
                if not self.release_all(left):
                    raise StoppedError(error.signal_number, NOT_GIVEN_BACK) from error
                raise
            except HpoError:
                self.release_all(left)
                raise
        return recorded

    def _record(self, claim: Claim, outcome: Result, begun: float) -> bool:
        """Record the outcome of work that was begun then; False where it was lost."""
        facts = self.facts_of(claim)
        try:
            self.retry(lambda: leases.record(self.db, claim, outcome))
        except (LeaseLostError, StudyMissingError):
            self._lost(facts)
            return False
        seconds = round(time.monotonic() - begun, 3)
        ended = {"outcome": outcome.outcome, "error": outcome.error, "seconds": seconds}
        events.emit("finished", failure=last_line(outcome.failure), **ended, **facts)
        return True

    def _lost(self, facts: dict[str, Any]) -> None:
        events.emit("lease_lost", **facts)
        self.db.forget()

    def _outcomes(
        self,
        held: Sequence[Claim],
        pause: Callable[[], None],
    ) -> Iterator[tuple[Claim, Result]]:
        """The results of the work, several test runs trained as one model.

        Where one of these fails, each is done alone, so that it fails alone.
        """
        if len(held) > 1:
            reporters = [Reporter(self.db, claim, self.retry) for claim in held]
            try:
                results = self._test_runs(held, reporters, pause)
            except (HpoError, StorageError) as error:
                if not isinstance(error, (DivergedError, InputError)):
                    raise
            except Exception as error:  # noqa: BLE001  a user's network may raise anything
                words = f"test runs are done one by one, as together they fail: {error}"
                events.warn("not_stacked", words, architecture=self.study.protocol.architecture)
            else:
                yield from zip(held, results, strict=True)
                return
        for claim in held:
            yield claim, self._outcome(claim, pause)

    def _outcome(self, claim: Claim, pause: Callable[[], None]) -> Result:
        """The result of the work; what goes wrong in the user's network is a failed result."""
        reporter = Reporter(self.db, claim, self.retry)
        try:
            if claim.kind == "trial":
                return self.objective.run(claim, reporter, pause)
            return self._test_runs([claim], [reporter], pause)[0]
        except DataError:
            raise
        except (DivergedError, InputError) as error:
            return _failed(str(error), reporter)
        except (HpoError, StorageError):
            raise
        except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001
            # A network of the user's own may raise anything. A signal raises nothing here.
            return _failed(traceback.format_exc(), reporter)

    def _test_runs(
        self,
        held: Sequence[Claim],
        reporters: Sequence[Reporter],
        pause: Callable[[], None],
    ) -> list[Result]:
        """Test runs of one trial, trained together."""
        trial, seeds = held[0].trial, [claim.part for claim in held]
        study = self.study
        params = study.protocol.search_space.decode(
            self.retry(lambda: studies.parameters(self.db, study.id)[trial])
        )
        trainings: list[Training] = []
        for trainings in repeated_seeds.run_together(
            study.protocol, trial, params, seeds, self.device
        ):
            pause()
            for reporter in reporters:
                reporter.advance(len(trainings[0].curve))
        pairs = zip(trainings, reporters, strict=True)
        return [result("complete", [training], reporter) for training, reporter in pairs]

    def release_all(self, left: Sequence[Claim]) -> bool:
        """Give all of it back, each whatever becomes of the others."""
        given_back = [self.release(claim) for claim in left]
        return all(given_back)

    def release(self, claim: Claim) -> bool:
        """Give the work back; False where the database does not answer: its lease will run out."""
        facts = self.facts_of(claim)
        try:
            self.db.retry(lambda: leases.release(self.db, claim), timeout_s=RELEASE_S)
        except LeaseLostError:
            self._lost(facts)
            return True
        except UnreachableError:
            return False
        events.emit("released", **facts)
        return True

    def facts_of(self, claim: Claim) -> dict[str, Any]:
        """What an event about a piece of work says of it; `part` is the seed of a test run."""
        work = {"kind": claim.kind, "trial": claim.trial, "part": max(claim.part, 0)}
        return {"worker": claim.worker, "study": self.study.name, **work, "attempt": claim.token}


def _failed(failure: str, reporter: Reporter) -> Result:
    """A failure, with what had been measured until then."""
    n_epochs, errors = reporter.n_epochs, reporter.unreported
    return Result(outcome="failed", failure=failure, n_epochs=n_epochs, errors=errors)


def rounded(seconds: float | None) -> float | None:
    """To milliseconds."""
    return None if seconds is None else round(seconds, 3)
