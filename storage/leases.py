"""What a worker does with a claim that it holds: renew the lease, report, record, release.

Every write begins with a fence: an update of the claim's row that matches only while the row has
the worker's token and is live. The token decides, not the clock. A worker whose lease has run out
keeps the work until another worker takes the work over. In an outage for all workers, no worker
therefore loses its work.
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

from storage import digests, optuna_tables
from storage.engine import Database
from storage.errors import LeaseLostError, UnreachableError
from storage.tables import GIVEN_BACK, clock, hpo_claims, hpo_trainings


WorkKind = Literal["trial", "confirmation", "test"]
"""A trial, one round of a trial's confirmation, or a test run."""

Outcome = Literal["complete", "pruned", "failed"]

HEARTBEAT_RETRY_S = 1.0
"""Seconds before a heartbeat that failed is tried again."""

OPTUNA_STATES = {
    "live": TrialState.RUNNING,
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
"""Optuna's state of a trial, by the `state` of its work."""

_IS_OPEN = sa.or_(
    optuna_tables.has_running_trial(hpo_claims.c.trial_id, hpo_claims.c.study_id),
    sa.and_(
        hpo_claims.c.kind != "trial",
        optuna_tables.has_trial(hpo_claims.c.trial_id, hpo_claims.c.study_id),
    ),
)
"""The condition that Optuna's trial exists in this study and, if the work is a trial, still runs.

Optuna's dashboard can delete a study while workers work on it. SQLite may then give the trial's id
to a trial of another study.
"""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """The right of one worker to do one piece of work until the lease runs out.

    kind: a trial, a confirmation or a test run.
    trial: Optuna's number of the trial.
    part: the database's column: the seed of a test run, `NO_PART` for a trial.
    trial_id: Optuna's id of the trial.
    token: the fencing token, which rises with each worker that holds the work.
    lease_s: the length of the lease in seconds.
    created_at: the time of creation of the study, in seconds since 1970.
    late_s: seconds from the end of an earlier worker's lease to this claim; None if no worker held
        the work before, or if the earlier worker gave it back.
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
    created_at: float
    late_s: float | None = None

    @property
    def seed(self) -> int:
        """The seed of a test run."""
        return self.part

    def __str__(self) -> str:
        return f"trial {self.trial}" if self.kind == "trial" else f"{self.kind} {self.seed}"


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """What is recorded of one training. `curve` is the error after each epoch, a fraction.

    `train_s` are the seconds of training. `versions` are the package versions, as JSON.
    """

    fold: int
    curve: tuple[float, ...]
    train_s: float
    versions: str

    @property
    def error(self) -> float:
        """The error after the last epoch, a fraction."""
        return self.curve[-1]


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a piece of work ended.

    error: the error, a fraction; None if the work failed.
    failure: why the work failed; None if it did not fail.
    n_parameters: the number of trainable weights.
    n_epochs: the number of epochs done, for a trial the mean over the folds.
    errors: the validation errors, by step, that have not been reported yet.
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
    """A transaction that begins only if the claim still holds, and that renews the lease.

    `values` are written to the claim's row.

    Raises:
        LeaseLostError: another worker has the work now, the study was deleted, or another program
            has ended Optuna's trial.
    """
    held_row = sa.update(hpo_claims).where(
        hpo_claims.c.id == claim.id,
        hpo_claims.c.token == claim.token,
        hpo_claims.c.state == "live",
        _IS_OPEN,
    )
    with db.transaction() as connection:
        renewed = connection.execute(held_row.values(expires_at=clock() + claim.lease_s, **values))
        if renewed.rowcount != 1:
            raise LeaseLostError(
                f"the lease of {claim} was lost: another worker or program took, ended or "
                "deleted the work"
            )
        with _finished_means_lost(claim):
            yield connection


@contextlib.contextmanager
def _finished_means_lost(claim: Claim) -> Iterator[None]:
    """Treat Optuna's refusal to write to a finished trial as a lost lease."""
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
    """Write all parameters of a claimed trial, by Optuna's names, in one transaction.

    `attributes` become the trial's user attributes and the sampler's `notes` its system attributes.

    Raises:
        LeaseLostError: another worker has the trial now.
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
    """Write the epochs done and the validation errors by step; the answer of `judge`.

    `judge` asks the pruner whether to prune the trial. It is called in the same transaction, so
    that what the pruner writes is behind the same fence. Without `judge` the answer is False.

    Raises:
        LeaseLostError: another worker has the work now.
    """
    with fenced(db, claim, n_epochs=n_epochs) as connection:
        optuna_tables.write_intermediate_values(connection, claim.trial_id, errors or {})
        return judge() if judge is not None else False


def record(db: Database, claim: Claim, result: Result) -> None:
    """Write the result, end the claim and end Optuna's trial, in one transaction.

    The call can be repeated after a lost connection: a result that was committed is not written
    again.

    Raises:
        LeaseLostError: another worker has the work now.
    """
    if _is_recorded(db, claim):
        return
    with fenced(db, claim) as connection:
        if result.trainings:
            rows = [_training_row(claim, training) for training in result.trainings]
            connection.execute(sa.insert(hpo_trainings), rows)
        optuna_tables.write_intermediate_values(connection, claim.trial_id, result.errors)
        ended = sa.update(hpo_claims).where(hpo_claims.c.id == claim.id)
        connection.execute(ended.values(_result_columns(result)))
        if claim.kind == "trial":
            finish_trial(db, claim.trial_id, result.outcome, result.error)


def _result_columns(result: Result) -> dict[str, Any]:
    columns = {
        "state": result.outcome,
        "error": result.error,
        "failure": None if result.failure is None else storable(result.failure),
        "n_parameters": result.n_parameters,
    }
    return columns if result.n_epochs is None else columns | {"n_epochs": result.n_epochs}


def storable(text: str) -> str:
    """The text with escapes for what databases refuse: null characters and lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def finish_trial(db: Database, trial_id: int, outcome: Outcome, error: float | None) -> None:
    """End Optuna's trial, within the transaction that ends the claim."""
    values = None if error is None or outcome == "failed" else [error]
    db.optuna.set_trial_state_values(trial_id, OPTUNA_STATES[outcome], values)


def _training_row(claim: Claim, training: TrainingRecord) -> dict[str, Any]:
    curve = json.dumps(training.curve)
    return {
        "claim_id": claim.id,
        "fold": training.fold,
        "error": training.error,
        "curve": curve,
        "digest": digests.of_training(claim, training.fold, curve, training.error),
        "train_s": training.train_s,
        "token": claim.token,
        "worker": claim.worker,
        "versions": training.versions,
    }


def _is_recorded(db: Database, claim: Claim) -> bool:
    ended = sa.select(hpo_claims.c.id).where(
        hpo_claims.c.id == claim.id, hpo_claims.c.token == claim.token, hpo_claims.c.state != "live"
    )
    with db.engine.connect() as connection:
        return connection.execute(ended).first() is not None


def release(db: Database, claim: Claim) -> None:
    """Give the work back, so that the next worker takes it; the attempt does not count.

    The token rises, so that a heartbeat that is still on its way cannot renew the lease.

    Raises:
        LeaseLostError: another worker has the work now.
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


def end_leases(db: Database, worker: str, ending: str) -> None:
    """End the leases of a dead worker now, so that its work can be taken over at once.

    `ending` says how the worker died. It is kept as the failure of the work until the work has a
    result. The attempt counts.
    """
    died = {"expires_at": clock(), "failure": f"worker {worker} died: {ending}"}
    held_rows = sa.update(hpo_claims).where(
        hpo_claims.c.worker == worker,
        hpo_claims.c.state == "live",
        hpo_claims.c.expires_at > clock(),
    )
    with db.transaction() as connection:
        connection.execute(held_rows.values(died))


class Heartbeat(threading.Thread):
    """Renews the lease of a claim within a `with` block.

    `lost` is set when another worker has the work.
    """

    def __init__(self, db: Database, claim: Claim) -> None:
        super().__init__(name=f"heartbeat of {claim}", daemon=True)
        self._db, self._claim, self._done = db, claim, threading.Event()
        self.lost = threading.Event()

    def run(self) -> None:
        """Renew the lease at every third of its length; after a failure sooner.

        The sooner retry renews the lease in time if the outage is short.
        """
        usual_s = pause_s = self._claim.lease_s / 3
        while not self._done.wait(pause_s) and not self.lost.is_set():
            pause_s, asked_at = usual_s, time.monotonic()
            try:
                with self._db.errors_translated(), fenced(self._db, self._claim):
                    pass
            except LeaseLostError:
                self.lost.set()
            except UnreachableError as error:
                self._db.outages.refused(error, asked_at)
                pause_s = min(usual_s, HEARTBEAT_RETRY_S)
        self._db.outages.stopped_asking()

    def check(self) -> None:
        """Check that the work still belongs to this worker.

        Raises:
            LeaseLostError: another worker has the work now.
        """
        if self.lost.is_set():
            raise LeaseLostError(f"the lease of {self._claim} was lost")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self.join()
