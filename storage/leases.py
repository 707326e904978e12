"""Holding a piece of work: the fence, the heartbeat, and what a worker writes while it holds it.

Every write begins with the fence, an update that matches only while the claim's token is ours
and its state is live. The token decides, not the clock: a lease that ran out but that nobody took
is still its holder's, so an outage that all workers see costs nothing.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import optuna
import sqlalchemy as sa
from optuna.distributions import BaseDistribution
from optuna.trial import TrialState
from sqlalchemy.engine import Connection

from storage import optuna_tables
from storage.engine import Database
from storage.errors import LeaseLostError, UnreachableError
from storage.tables import GIVEN_BACK, clock, hpo_claims, hpo_trainings


WorkKind = Literal["trial", "confirmation", "test"]
Outcome = Literal["complete", "pruned", "failed"]

REFUSED_S = 1.0
"""A heartbeat that the database refused comes again after this long."""

_OPTUNA_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}

_IS_OPEN = sa.or_(
    optuna_tables.has_running_trial(hpo_claims.c.trial_id),
    sa.and_(hpo_claims.c.kind != "trial", optuna_tables.has_trial(hpo_claims.c.trial_id)),
)
"""Whether Optuna's half of the work is still there and open: its dashboard can delete a study."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One piece of work that is one worker's until the lease runs out.

    `late_s` is how long it lay untouched after an earlier worker's lease had ended, in seconds;
    None where nobody had it before, or gave it back.
    """

    id: int
    study_id: int
    kind: WorkKind
    trial: int
    part: int
    trial_id: int
    token: int
    worker: str
    lease_s: float
    late_s: float | None = None

    def __str__(self) -> str:
        return f"trial {self.trial}" if self.kind == "trial" else f"{self.kind} {self.part}"


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What one training left: its error (a fraction) after the last epoch, and after each."""

    fold: int
    curve: tuple[float, ...]
    train_s: float
    versions: str

    @property
    def error(self) -> float:
        """The error of the last epoch."""
        return self.curve[-1]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a piece of work ended; `error` is None where it failed.

    `n_epochs` are the epochs done, on the average of a trial's folds; `errors` those validation
    errors by step that have not been reported.
    """

    outcome: Outcome
    error: float | None = None
    failure: str | None = None
    n_parameters: int | None = None
    n_epochs: int | None = None
    errors: Mapping[int, float] = field(default_factory=dict)
    trainings: Sequence[TrainingRecord] = ()


@contextlib.contextmanager
def fenced(db: Database, claim: Claim, **values: Any) -> Iterator[Connection]:
    """A transaction that only the holder of the claim gets; it renews the lease.

    Raises:
        LeaseLostError: another worker has the work now, the study was deleted, or another program
            has ended Optuna's trial.
    """
    held = sa.update(hpo_claims).where(
        hpo_claims.c.id == claim.id,
        hpo_claims.c.token == claim.token,
        hpo_claims.c.state == "live",
        _IS_OPEN,
    )
    with db.transaction() as connection:
        renewed = connection.execute(held.values(expires_at=clock() + claim.lease_s, **values))
        if renewed.rowcount != 1:
            raise LeaseLostError(f"the lease of {claim} was lost: others took, ended or deleted it")
        with _lost_when_finished(claim):
            yield connection


@contextlib.contextmanager
def _lost_when_finished(claim: Claim) -> Iterator[None]:
    """Optuna refuses writes to a finished trial: then the work is no longer ours."""
    try:
        yield
    except optuna.exceptions.UpdateFinishedTrialError as error:
        raise LeaseLostError(f"the lease of {claim} was lost: the trial has ended") from error


def write_parameters(
    db: Database,
    claim: Claim,
    values: Mapping[str, tuple[Any, BaseDistribution]],
    attributes: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> None:
    """Give the trial its parameters, all of them or none (Optuna's names and values).

    They go in by one statement: Optuna's own call for each takes two, under SQLite's only lock.
    With them go the `attributes` that a user sees and the sampler's `notes`.
    """
    with fenced(db, claim) as connection:
        optuna_tables.insert_parameters(connection, claim.trial_id, values)
        for name, attribute in attributes.items():
            db.optuna.set_trial_user_attr(claim.trial_id, name, attribute)
        for name, note in notes.items():
            db.optuna.set_trial_system_attr(claim.trial_id, name, note)


def report(
    db: Database,
    claim: Claim,
    *,
    n_epochs: int,
    errors: Mapping[int, float] | None = None,
    judge: Callable[[], bool] | None = None,
) -> bool:
    """Record how far the work is, and a trial's validation errors by step; is it to be pruned?

    The pruner's own notes on the trial are written behind the same fence.
    """
    with fenced(db, claim, n_epochs=n_epochs) as connection:
        optuna_tables.write_intermediate_values(connection, claim.trial_id, errors or {})
        return judge() if judge is not None else False


def record(db: Database, claim: Claim, result: Result) -> None:
    """The result, the end of the claim and Optuna's tell, in one transaction.

    Called again after a lost connection it looks first: a commit whose answer was lost counts.
    """
    if _is_recorded(db, claim):
        return
    with fenced(db, claim) as connection:
        if result.trainings:
            connection.execute(sa.insert(hpo_trainings), [_row(claim, t) for t in result.trainings])
        ended: dict[str, Any] = {
            "state": result.outcome,
            "error": result.error,
            "failure": None if result.failure is None else storable(result.failure),
            "n_parameters": result.n_parameters,
        }
        if result.n_epochs is not None:
            ended["n_epochs"] = result.n_epochs
        optuna_tables.write_intermediate_values(connection, claim.trial_id, result.errors)
        connection.execute(sa.update(hpo_claims).where(hpo_claims.c.id == claim.id).values(ended))
        if claim.kind == "trial":
            finish_trial(db, claim.trial_id, result.outcome, result.error)


def storable(text: str) -> str:
    """The text without what databases refuse: a zero character, halves of others."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def finish_trial(db: Database, trial_id: int, outcome: Outcome, error: float | None) -> None:
    """End Optuna's trial, inside the transaction that ends the claim."""
    values = None if error is None or outcome == "failed" else [error]
    db.optuna.set_trial_state_values(trial_id, _OPTUNA_STATES[outcome], values)


def _row(claim: Claim, training: TrainingRecord) -> dict[str, Any]:
    return {
        "claim_id": claim.id,
        "fold": training.fold,
        "error": training.error,
        "curve": json.dumps(training.curve),
        "train_s": training.train_s,
        "token": claim.token,
        "worker": claim.worker,
        "versions": training.versions,
    }


def _is_recorded(db: Database, claim: Claim) -> bool:
    ours = sa.select(hpo_claims.c.id).where(
        hpo_claims.c.id == claim.id, hpo_claims.c.token == claim.token, hpo_claims.c.state != "live"
    )
    with db.engine.connect() as connection:
        return connection.execute(ours).first() is not None


def release(db: Database, claim: Claim) -> None:
    """Give the work back at once, and the attempt with it; the next worker that asks takes it.

    The claim is void from then on, so that a heartbeat on its way cannot take the work back.
    """
    with fenced(db, claim) as connection:
        given_back = {
            "expires_at": GIVEN_BACK,
            "n_attempts": hpo_claims.c.n_attempts - 1,
            "token": hpo_claims.c.token + 1,
        }
        connection.execute(
            sa.update(hpo_claims).where(hpo_claims.c.id == claim.id).values(given_back)
        )


def forsake(db: Database, worker: str, how: str) -> None:
    """End the leases of a worker that has died, so that nobody waits for them to run out.

    `how` it died stands with its work until somebody has done it. The attempt counts.
    """
    died = {"expires_at": clock(), "failure": f"worker {worker} died: {how}"}
    held = sa.update(hpo_claims).where(
        hpo_claims.c.worker == worker,
        hpo_claims.c.state == "live",
        hpo_claims.c.expires_at > clock(),
    )
    with db.transaction() as connection:
        connection.execute(held.values(died))


class Heartbeat(threading.Thread):
    """Renews a lease while its work goes on; `lost` is set when another worker has the work."""

    def __init__(self, db: Database, claim: Claim) -> None:
        super().__init__(name=f"heartbeat of {claim}", daemon=True)
        self._db, self._claim, self._done = db, claim, threading.Event()
        self.lost = threading.Event()

    def run(self) -> None:
        """Beat every third of the lease; after a refusal sooner, to be in time once it passes."""
        usual = pause = self._claim.lease_s / 3
        while not self._done.wait(pause) and not self.lost.is_set():
            pause, asked_at = usual, time.monotonic()
            try:
                with self._db.errors_translated(), fenced(self._db, self._claim):
                    pass
            except LeaseLostError:
                self.lost.set()
            except UnreachableError as error:
                self._db.outages.refused(error, asked_at)
                pause = min(usual, REFUSED_S)
        self._db.outages.withdrawn()

    def check(self) -> None:
        """Stop work that is no longer ours.

        Raises:
            LeaseLostError: another worker has it.
        """
        if self.lost.is_set():
            raise LeaseLostError(f"the lease of {self._claim} was lost")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()
