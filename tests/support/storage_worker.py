"""A worker that plays a study on storage alone: what it trains is arithmetic.

Whatever it writes tells who wrote it. The two parameters of a trial belong together (y = 1 - x), a
pair that was drawn belongs to its drawer, and an error belongs to the attempt that measured it.
"""

import random
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import FloatDistribution

from storage import renaming, studies
from storage.claims import Idle, Plan, claim
from storage.engine import Database
from storage.leases import Claim, Result, TrainingRecord, record, report, write_parameters


N_EPOCHS = 2
N_FOLDS = 2
N_PARAMETERS = 7
PLANNED = ({"x": 0.25, "y": 0.75},)
OVER_S = -1.0  # a lease that has run out when it begins
PATIENCE_S = 300.0


def make_plan(
    *,
    planned: Sequence[Mapping[str, Any]] = PLANNED,
    n_repeats: int = 1,
    max_attempts: int = 3,
    lease_s: float = 30.0,
) -> Plan:
    """A plan that a test changes only where it matters to it."""
    return Plan(planned=planned, n_repeats=n_repeats, max_attempts=max_attempts, lease_s=lease_s)


def new_study(db: Database, n_trials: int) -> int:
    """A study under a name of its own; gives its id."""
    return studies.add(db, f"study-{secrets.token_hex(6)}", "{}", n_trials)


def must_claim(db: Database, study_id: int, plan: Plan, worker: str = "worker") -> Claim:
    """A claim where there has to be one.

    Raises:
        TypeError: nothing was left to claim.
    """
    held = claim(db, study_id, plan, worker)
    if isinstance(held, Idle):
        raise TypeError(f"nothing to claim: {held}")
    return held


def play(db: Database, study_id: int, plan: Plan, worker: str) -> None:
    """Work until the study is complete."""
    while True:
        held = db.retry(lambda: claim(db, study_id, plan, worker), timeout_s=PATIENCE_S)
        if held is Idle.COMPLETE:
            return
        if isinstance(held, Idle):
            threading.Event().wait(0.02)
        else:
            do(db, held)


def play_at(url: str, study_id: int, plan: Plan, worker: str) -> None:
    """The same, for a process of its own."""
    db = Database(url)
    play(db, study_id, plan, worker)
    db.close()


def do(db: Database, held: Claim) -> None:
    """One piece of work, from its parameters to its result."""
    result = train(db, held, give_parameters(db, held)) if held.kind == "trial" else measure(held)
    db.retry(lambda: record(db, held, result), timeout_s=PATIENCE_S)


def give_parameters(db: Database, held: Claim) -> float:
    """Write the parameters that the trial lacks: planned ones, else drawn ones; gives x."""
    trial = db.retry(lambda: db.optuna.get_trial(held.trial_id), timeout_s=PATIENCE_S)
    if not trial.params:
        values = trial.system_attrs.get("fixed_params") or drawn(held)
        pairs = {name: (value, FloatDistribution(0.0, 1.0)) for name, value in values.items()}
        notes = {"sampler": held.worker}
        db.retry(
            lambda: write_parameters(db, held, pairs, {"by": held.worker}, notes),
            timeout_s=PATIENCE_S,
        )
        return float(values["x"])
    return float(trial.params["x"])


def drawn(held: Claim) -> dict[str, float]:
    """Parameters that no other worker or attempt would draw."""
    x = random.Random(f"{held.worker} {held.trial_id} {held.token}").random()
    return {"x": x, "y": 1 - x}


def error_of(x: float, token: int, epoch: int) -> float:
    """The error after an epoch of the attempt with that token."""
    return 0.5 * x + 0.1 / epoch + 0.001 * token


def train(db: Database, held: Claim, x: float) -> Result:
    """Train all folds, epoch by epoch, until done or pruned."""
    judge = judge_of(db, held)
    curve: list[float] = []
    pruned = False
    while len(curve) < N_EPOCHS and not pruned:
        curve.append(error_of(x, held.token, len(curve) + 1))
        pruned = db.retry(lambda: report_last(db, held, curve, judge), timeout_s=PATIENCE_S)
    return Result(
        outcome="pruned" if pruned else "complete",
        error=curve[-1],
        n_parameters=N_PARAMETERS,
        n_epochs=len(curve),
        trainings=[training(fold, curve) for fold in range(N_FOLDS)],
    )


def report_last(
    db: Database, held: Claim, curve: Sequence[float], judge: Callable[[], bool]
) -> bool:
    """Report the last of the errors; is the trial to be pruned?"""
    return report(db, held, n_epochs=len(curve), errors={len(curve): curve[-1]}, judge=judge)


def judge_of(db: Database, held: Claim) -> Callable[[], bool]:
    """Hyperband's opinion of the trial; it notes a rung after each epoch."""
    pruner = optuna.pruners.HyperbandPruner(min_resource=1, max_resource=1, reduction_factor=2)
    name, _ = renaming.names(db, held.study_id)  # Optuna keeps the first name that it has read
    study = optuna.load_study(study_name=name, storage=db.optuna, pruner=pruner)
    return lambda: pruner.prune(study, db.optuna.get_trial(held.trial_id))


def measure(held: Claim) -> Result:
    """The result of a test run."""
    curve = [error_of(0.0, held.token, epoch + 1) for epoch in range(N_EPOCHS)]
    return Result(
        outcome="complete",
        error=curve[-1],
        n_parameters=N_PARAMETERS,
        n_epochs=N_EPOCHS,
        trainings=[training(0, curve)],
    )


def training(fold: int, curve: Sequence[float]) -> TrainingRecord:
    """What one fold left behind."""
    return TrainingRecord(fold=fold, curve=tuple(curve), train_s=0.5, versions="{}")
