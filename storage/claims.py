"""How workers share a study: each worker claims one piece of the work that is still missing.

A piece of work is a trial, or a test run of the chosen trial. Work is missing while it has neither
an outcome nor a running lease. There is no queue that could lose work. When the lease of a killed
worker runs out, the worker's work is missing again. The next worker that claims takes it over.

A claim is one transaction under a lock on the study's row. Exactly the study's
number of trials is therefore started, whatever the number of workers.

No deadlocks: a transaction locks hpo's row of the study before Optuna's row of the study, and the
row of a claim before Optuna's row of the trial. A worker that takes work over skips claims whose
rows are locked.

The database's clock may be set back. A lease from before then would last until the clock is where
it was. A worker that claims therefore shortens a lease that ends too late to one whole lease from
now. In this time a living worker renews it by the new clock, and a dead worker's lease runs out.
"""

import enum
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from storage import optuna_tables
from storage.choice import Candidate, best_of
from storage.engine import Database
from storage.errors import StudyBusyError, StudyMissingError
from storage.leases import Claim, WorkKind, finish_trial
from storage.tables import (
    CLOCK_SLACK_S,
    GIVEN_BACK,
    IN_OPTUNA,
    NO_PART,
    AnyRow,
    clock,
    hpo_claims,
    hpo_studies,
)


JUST_GIVEN_BACK = GIVEN_BACK + 1
"""A time after `GIVEN_BACK` and before the end of any lease.

Work whose `expires_at` is earlier was given back.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study's protocol says about its work.

    planned: the parameters of the first trials, which no sampler draws, by Optuna's names.
    n_repeats: the number of test runs of the chosen trial.
    max_attempts: attempts before work whose workers crash counts as failed.
    lease_s: the length of a lease in seconds.
    key: what identifies a configuration, given its parameters by Optuna's names. Trials with the
        same key are one candidate for the choice. None makes each trial a candidate.
    """

    planned: Sequence[Mapping[str, Any]]
    n_repeats: int
    max_attempts: int
    lease_s: float
    key: Callable[[Mapping[str, Any]], Hashable] | None = None


class Idle(enum.Enum):
    """Why a worker gets no claim."""

    WAIT = "wait"
    """Other workers hold all remaining work; the worker should ask again."""

    PAUSED = "paused"
    """The study is paused; no work is handed out until it is resumed."""

    COMPLETE = "complete"
    """No work is left: the study is complete, or all its trials ended without a result."""


def claim(
    db: Database, study_id: int, plan: Plan, worker: str, *, created_at: float | None = None
) -> Claim | Idle:
    """Claim the next missing piece of a study's work for a worker.

    `created_at` identifies the study if the database gave the id of a deleted study to a new one.

    Raises:
        StudyMissingError: the study was deleted.
        LookupError: the records of the study are damaged.
    """
    with db.transaction() as connection:
        study = _locked(connection, study_id)
        if created_at not in (None, study.created_at):
            raise StudyMissingError("the study was deleted; another study has its id now")
        locked = _LockedStudy(db, connection, study, plan, worker, _now(connection))
        if study.is_paused:
            return locked.idle_while_paused()
        return locked.claim_next()


def check_idle(
    connection: Connection, study_id: int, name: str, *, lease_s: float = math.inf
) -> None:
    """Check that no worker holds a lease of the study, whose leases are `lease_s` seconds long.

    A lease that ends later than that was written before the database's clock was set back, and
    does not count. The rows of unfinished work are locked, so that a worker whose lease has run out
    cannot record a result until the transaction ends.

    Raises:
        StudyBusyError: a worker holds a lease.
    """
    now = clock()
    is_held = sa.and_(hpo_claims.c.expires_at > now)
    if math.isfinite(lease_s):
        is_held = sa.and_(is_held, hpo_claims.c.expires_at <= now + lease_s + CLOCK_SLACK_S)
    live = sa.select(hpo_claims.c.worker, is_held.label("is_held")).where(
        hpo_claims.c.study_id == study_id, hpo_claims.c.state == "live"
    )
    rows = connection.execute(live.with_for_update()).all()
    if workers := sorted({row.worker for row in rows if row.is_held}):
        raise StudyBusyError(
            f"study {name!r} is being worked on by {', '.join(workers)}; stop them, or run "
            f"hpo study pause {name} and wait until their work is done"
        )


def _locked(connection: Connection, study_id: int) -> AnyRow:
    query = sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id, IN_OPTUNA)
    row = connection.execute(query.with_for_update(key_share=True)).first()
    if row is None:
        raise StudyMissingError("the study was deleted")
    return row


def _now(connection: Connection) -> float:
    """The database's time, read under the lock: the wait for the lock must not age the leases."""
    return float(connection.execute(sa.select(clock())).scalar_one())


@dataclass(frozen=True)
class _LockedStudy:
    """A study whose row is locked, so that no other worker claims its work meanwhile."""

    db: Database
    connection: Connection
    study: AnyRow
    plan: Plan
    worker: str
    now: float

    def claim_next(self) -> Claim | Idle:
        """Claim the work of a dead worker, else a new trial, else a test run.

        When every trial has an outcome, the best trial is chosen and the choice is written.
        """
        trial_or_expired = self.take_over() or self.start_trial()
        if trial_or_expired is not None:
            return trial_or_expired
        if self.is_searching():
            return Idle.WAIT
        chosen = self.choose()
        seed = None if chosen is None else self._missing_seed(chosen.trial)
        if chosen is not None and seed is not None:
            return self._insert("test", chosen.trial, seed, chosen.trial_id)
        return Idle.WAIT if self._is_live() else Idle.COMPLETE

    def idle_while_paused(self) -> Idle:
        """Whether the study is complete, or work of it is missing or in work."""
        if self.is_searching() or self._is_live():
            return Idle.PAUSED
        chosen = self.choose()
        is_missing = chosen is not None and self._missing_seed(chosen.trial) is not None
        return Idle.PAUSED if is_missing else Idle.COMPLETE

    def is_searching(self) -> bool:
        """Whether a trial of the budget has no outcome yet."""
        return self.study.n_started < self.study.n_trials or self._is_live("trial")

    def choose(self) -> AnyRow | None:
        """The chosen trial, for a study whose search is over; the choice is written once.

        None if no trial is complete.
        """
        chosen = self._best()
        if chosen is not None and self.study.choice is None:
            self._update_study(choice=chosen.trial)
        return chosen

    def take_over(self) -> Claim | None:
        """Claim work whose lease ran out, under the next token; None if there is no such work."""
        while (row := self._expired()) is not None:
            if row.expires_at > self._latest_end():
                self._shorten(row)
            elif row.kind == "trial" and optuna_tables.is_finished(self.connection, row.trial_id):
                self._fail(row, "another program ended this trial in Optuna's tables")
            elif row.n_attempts < self.plan.max_attempts:
                return self._take_over(row)
            else:
                self._give_up(row)
        return None

    def start_trial(self) -> Claim | None:
        """Claim a new trial, planned trials first; None if all trials were started.

        Raises:
            LookupError: Optuna's tables lack trials that were started, so they are damaged. Optuna
                numbers a new trial by the number of trials that it has.
        """
        n_started = self.study.n_started
        if n_started >= self.study.n_trials:
            return None
        template = None
        if n_started < len(self.plan.planned):
            template = optuna_tables.planned_trial(self.plan.planned[n_started])
        trial_id = self.db.optuna.create_new_trial(self.study.study_id, template)
        number = optuna_tables.number_of(self.connection, trial_id)
        if number < n_started:
            raise LookupError(f"Optuna's tables have {number} of the {n_started} started trials")
        self._update_study(n_started=n_started + 1)
        return self._insert("trial", number, NO_PART, trial_id)

    def _missing_seed(self, trial: int) -> int | None:
        """The first seed without a test run of this trial; None if every seed has one."""
        query = sa.select(hpo_claims.c.part).where(
            hpo_claims.c.study_id == self.study.study_id,
            hpo_claims.c.kind == "test",
            hpo_claims.c.trial == trial,
        )
        taken = set(self.connection.execute(query).scalars())
        return next((seed for seed in range(self.plan.n_repeats) if seed not in taken), None)

    def _expired(self) -> AnyRow | None:
        """A locked row of work whose lease ran out or ends too late, or that was given back.

        After an outage only work that was given back counts, until the workers had time to renew
        their leases.
        """
        is_trusted = self.db.outages.leases_are_trusted(self.plan.lease_s)
        ended_before = self.now if is_trusted else JUST_GIVEN_BACK
        query = (
            sa.select(hpo_claims)
            .where(
                hpo_claims.c.study_id == self.study.study_id,
                hpo_claims.c.state == "live",
                sa.or_(
                    hpo_claims.c.expires_at < ended_before,
                    hpo_claims.c.expires_at > self._latest_end(),
                ),
            )
            .order_by(hpo_claims.c.expires_at, hpo_claims.c.id)
            .limit(1)
        )
        return self.connection.execute(query.with_for_update(skip_locked=True)).first()

    def _latest_end(self) -> float:
        """The latest time at which a lease can end that was written by the present clock."""
        return self.now + self.plan.lease_s + CLOCK_SLACK_S

    def _shorten(self, row: AnyRow) -> None:
        """Let a lease from before the clock was set back end in one whole lease from now."""
        shortened = {"expires_at": self.now + self.plan.lease_s}
        self.connection.execute(
            sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(shortened)
        )

    def _take_over(self, row: AnyRow) -> Claim:
        lease = self._lease() | {"token": row.token + 1, "n_attempts": row.n_attempts + 1}
        self.connection.execute(
            sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(lease)
        )
        if row.kind == "trial":
            optuna_tables.delete_reports(self.connection, row.trial_id)
        late_s = None if row.expires_at == GIVEN_BACK else self.now - row.expires_at
        return self._claim(row.id, row._asdict(), row.token + 1, late_s)

    def _give_up(self, row: AnyRow) -> None:
        reason = (
            f"given up after {row.n_attempts} attempts: each worker that tried it ended without "
            f"a result ({row.failure or f'the last worker was {row.worker}'})"
        )
        self._fail(row, reason)
        if row.kind == "trial":
            finish_trial(self.db, row.trial_id, "failed", None)

    def _fail(self, row: AnyRow, reason: str) -> None:
        failed = {"state": "failed", "failure": reason, "token": row.token + 1}
        self.connection.execute(
            sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(failed)
        )

    def _best(self) -> AnyRow | None:
        """The chosen trial; before the choice, the complete trial that is to be chosen.

        Raises:
            LookupError: the chosen trial is not complete, so the database is damaged.
        """
        complete = (
            hpo_claims.c.study_id == self.study.study_id,
            hpo_claims.c.kind == "trial",
            hpo_claims.c.state == "complete",
        )
        columns = (hpo_claims.c.trial, hpo_claims.c.trial_id, hpo_claims.c.error)
        query = sa.select(*columns).where(*complete)
        if self.study.choice is not None:
            chosen = query.where(hpo_claims.c.trial == self.study.choice)
            row = self.connection.execute(chosen).first()
            if row is None:
                raise LookupError(f"the chosen trial {self.study.choice} is not complete")
            return row
        trials = {row.trial: row for row in self.connection.execute(query)}
        keys = self._keys()
        choice = best_of(
            Candidate(row.trial, row.error, keys.get(row.trial, row.trial))
            for row in trials.values()
        )
        return None if choice is None else trials[choice.trial]

    def _keys(self) -> dict[int, Hashable]:
        """What identifies the configurations, by the trial's number; empty without `plan.key`."""
        if (key := self.plan.key) is None:
            return {}
        trials = self.db.optuna.get_all_trials(self.study.study_id, deepcopy=False)
        return {trial.number: key(trial.params) for trial in trials if trial.values}

    def _is_live(self, kind: WorkKind | None = None) -> bool:
        """Whether any work of this kind has no outcome yet."""
        live = [hpo_claims.c.study_id == self.study.study_id, hpo_claims.c.state == "live"]
        if kind is not None:
            live.append(hpo_claims.c.kind == kind)
        query = sa.select(hpo_claims.c.id).where(*live).limit(1)
        return self.connection.execute(query).first() is not None

    def _update_study(self, **values: Any) -> None:
        is_this_study = hpo_studies.c.study_id == self.study.study_id
        self.connection.execute(sa.update(hpo_studies).where(is_this_study).values(values))

    def _lease(self) -> dict[str, Any]:
        return {
            "state": "live",
            "worker": self.worker,
            "claimed_at": self.now,
            "expires_at": self.now + self.plan.lease_s,
            "n_epochs": 0,
        }

    def _insert(self, kind: WorkKind, trial: int, part: int, trial_id: int) -> Claim:
        work = {"kind": kind, "trial": trial, "part": part, "trial_id": trial_id}
        first_attempt = {"study_id": self.study.study_id, "token": 1, "n_attempts": 1}
        row = sa.insert(hpo_claims).values(work | first_attempt | self._lease())
        row_id = cast(Row[int], self.connection.execute(row).inserted_primary_key)[0]
        return self._claim(row_id, work, 1)

    def _claim(
        self, row_id: int, work: Mapping[str, Any], token: int, late_s: float | None = None
    ) -> Claim:
        return Claim(
            id=row_id,
            study_id=self.study.study_id,
            kind=work["kind"],
            trial=work["trial"],
            part=work["part"],
            trial_id=work["trial_id"],
            token=token,
            worker=self.worker,
            lease_s=self.plan.lease_s,
            created_at=self.study.created_at,
            late_s=late_s,
        )
