"""How workers share a study: each asks what is still missing and gets a claim on one piece of it.

Nothing is queued, so no queue can lose anything: a piece of work is missing while it has neither
an outcome nor a live lease, and what a killed worker leaves behind is missing again when its lease
runs out. All of it happens in one transaction under a lock on the study's row, so the number of
trials is exactly the budget, whatever the number of workers. Whoever claims also takes over: there
is no reaper. Locks are taken in one order (our study, Optuna's study; a claim, Optuna's trial) and
a claim never waits for another claim's row.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from storage import optuna_tables
from storage.engine import Database
from storage.errors import StudyMissingError
from storage.leases import Claim, WorkKind, finish_trial
from storage.tables import GIVEN_BACK, IN_OPTUNA, NO_PART, AnyRow, clock, hpo_claims, hpo_studies


JUST_GIVEN_BACK = GIVEN_BACK + 1
"""No lease ever runs out before it: what ends earlier was given back."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a study's protocol says about its work.

    `planned` are the parameters of the first trials (Optuna's names and values), which no sampler
    draws. `n_repeats` test runs of the chosen trial follow the search.
    """

    planned: Sequence[Mapping[str, Any]]
    n_repeats: int
    max_attempts: int
    lease_s: float


class Idle(enum.Enum):
    """There is nothing to claim: others still work on the rest, it is paused, or all is done."""

    WAIT = "wait"
    PAUSED = "paused"
    COMPLETE = "complete"


def claim(
    db: Database, study_id: int, plan: Plan, worker: str, *, created_at: float | None = None
) -> Claim | Idle:
    """A claim on the next missing piece of the study's work; none while the study is paused.

    A database may give a deleted study's number to a new one: with `created_at` only the study
    that was created then is meant.

    Raises:
        StudyMissingError: the study was deleted.
    """
    with db.transaction() as connection:
        study = _locked(connection, study_id)
        if created_at not in (None, study.created_at):
            raise StudyMissingError("the study was deleted; another has its number now")
        locked = _LockedStudy(db, connection, study, plan, worker, _now(connection))
        if study.is_paused:
            return Idle.COMPLETE if locked.is_complete() else Idle.PAUSED
        return locked.claim_next()


def _locked(connection: Connection, study_id: int) -> AnyRow:
    query = sa.select(hpo_studies).where(hpo_studies.c.study_id == study_id, IN_OPTUNA)
    row = connection.execute(query.with_for_update(key_share=True)).first()
    if row is None:
        raise StudyMissingError("the study was deleted")
    return row


def _now(connection: Connection) -> float:
    """The clock, read once the lock is ours: the wait for it must not age the leases."""
    return float(connection.execute(sa.select(clock())).scalar_one())


@dataclass(frozen=True)
class _LockedStudy:
    """A study whose row is locked: what is missing of it, and the claim on one piece of that."""

    db: Database
    connection: Connection
    study: AnyRow
    plan: Plan
    worker: str
    now: float

    def claim_next(self) -> Claim | Idle:
        """The next missing piece: work of a dead worker, a trial of the budget, or a test run.

        Once every trial has an outcome, the best one is chosen, and the choice is written.
        """
        claimed = self.take_over() or self.start_trial()
        if claimed is not None:
            return claimed
        if self._is_live("trial"):
            return Idle.WAIT
        chosen = self._best()
        if chosen is None:
            return Idle.COMPLETE
        if self.study.choice is None:
            self._update_study(choice=chosen.trial)
        seed = self._missing_seed(chosen.trial)
        if seed is not None:
            return self._insert("test", chosen.trial, seed, chosen.trial_id)
        return Idle.WAIT if self._is_live() else Idle.COMPLETE

    def is_complete(self) -> bool:
        """Whether nothing is missing and nothing is in work; writes nothing."""
        if self.study.n_started < self.study.n_trials or self._is_live():
            return False
        chosen = self._best()
        if chosen is None:
            return True
        return self.study.choice is not None and self._missing_seed(chosen.trial) is None

    def take_over(self) -> Claim | None:
        """Work whose lease ran out: the same trial, or test run, under the next token."""
        while (row := self._expired()) is not None:
            if row.kind == "trial" and optuna_tables.is_finished(self.connection, row.trial_id):
                self._fail(row, "another program ended this trial in Optuna's tables")
            elif row.n_attempts < self.plan.max_attempts:
                return self._take_over(row)
            else:
                self._give_up(row)
        return None

    def start_trial(self) -> Claim | None:
        """A new trial, while numbers of the budget are left; planned ones come first."""
        n_started = self.study.n_started
        if n_started >= self.study.n_trials:
            return None
        template = None
        if n_started < len(self.plan.planned):
            template = optuna_tables.planned_trial(self.plan.planned[n_started])
        trial_id = self.db.optuna.create_new_trial(self.study.study_id, template)
        self._update_study(n_started=n_started + 1)
        return self._insert(
            "trial", optuna_tables.number_of(self.connection, trial_id), NO_PART, trial_id
        )

    def _missing_seed(self, trial: int) -> int | None:
        """The first seed without a test run of this trial."""
        query = sa.select(hpo_claims.c.part).where(
            hpo_claims.c.study_id == self.study.study_id,
            hpo_claims.c.kind == "test",
            hpo_claims.c.trial == trial,
        )
        taken = set(self.connection.execute(query).scalars())
        return next((seed for seed in range(self.plan.n_repeats) if seed not in taken), None)

    def _expired(self) -> AnyRow | None:
        ended_before = self.now if self.db.outages.are_over(self.plan.lease_s) else JUST_GIVEN_BACK
        query = (
            sa.select(hpo_claims)
            .where(
                hpo_claims.c.study_id == self.study.study_id,
                hpo_claims.c.state == "live",
                hpo_claims.c.expires_at < ended_before,
            )
            .order_by(hpo_claims.c.expires_at, hpo_claims.c.id)
            .limit(1)
        )
        return self.connection.execute(query.with_for_update(skip_locked=True)).first()

    def _take_over(self, row: AnyRow) -> Claim:
        again = self._lease() | {"token": row.token + 1, "n_attempts": row.n_attempts + 1}
        self.connection.execute(
            sa.update(hpo_claims).where(hpo_claims.c.id == row.id).values(again)
        )
        if row.kind == "trial":
            optuna_tables.forget_reports(self.connection, row.trial_id)
        late_s = None if row.expires_at == GIVEN_BACK else self.now - row.expires_at
        return self._claim(row.id, row._asdict(), row.token + 1, late_s)

    def _give_up(self, row: AnyRow) -> None:
        reason = (
            f"given up after {row.n_attempts} attempts: each worker that tried it ended without "
            f"a result ({row.failure or f'the last was {row.worker}'})"
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
        """The chosen trial; before the choice, the complete trial with the lowest error."""
        complete = (
            hpo_claims.c.study_id == self.study.study_id,
            hpo_claims.c.kind == "trial",
            hpo_claims.c.state == "complete",
        )
        query = sa.select(hpo_claims.c.trial, hpo_claims.c.trial_id).where(*complete)
        if self.study.choice is not None:
            chosen = query.where(hpo_claims.c.trial == self.study.choice)
            return self.connection.execute(chosen).one()
        best = query.order_by(hpo_claims.c.error, hpo_claims.c.trial).limit(1)
        return self.connection.execute(best).first()

    def _is_live(self, kind: WorkKind | None = None) -> bool:
        live = [hpo_claims.c.study_id == self.study.study_id, hpo_claims.c.state == "live"]
        if kind is not None:
            live.append(hpo_claims.c.kind == kind)
        query = sa.select(hpo_claims.c.id).where(*live).limit(1)
        return self.connection.execute(query).first() is not None

    def _update_study(self, **values: Any) -> None:
        row = hpo_studies.c.study_id == self.study.study_id
        self.connection.execute(sa.update(hpo_studies).where(row).values(values))

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
        first = {"study_id": self.study.study_id, "token": 1, "n_attempts": 1}
        row = sa.insert(hpo_claims).values(work | first | self._lease())
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
            late_s=late_s,
        )
