"""The worker processes of a measurement. All start together, once each is ready."""

import functools
import multiprocessing
import multiprocessing.synchronize
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import optuna
import sqlalchemy as sa

from benchmarks.noop_trials import Ours, Plain, Times, make_protocol
from storage.engine import Database


T = TypeVar("T")
Side = Literal["plain", "hpo"]
SIDES: tuple[Side, Side] = ("plain", "hpo")

SHARES = {1: 20, 8: 10, 64: 2}
"""Trials that each worker does in a round, by the number of workers."""

N_TURNS = 30
"""Trials on each study in `take_turns`."""

PATIENCE_S = 120.0
"""Seconds that a process waits for the database and for the other processes; then it fails."""

# Processes are forked from a process that has imported everything and opened no connection.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["benchmarks.noop_workers", "tests.support.databases", "psycopg", "pymysql"]
)


@dataclass(frozen=True)
class Cell:
    """One cell of the table: `n_workers` on a study that has `n_finished` finished trials."""

    sampler: str
    n_workers: int
    n_finished: int

    @property
    def share(self) -> int:
        """Trials of each worker in a round."""
        return SHARES[self.n_workers]

    def __str__(self) -> str:
        return f"{self.sampler}, {self.n_workers} workers, {self.n_finished:,} finished trials"


@dataclass
class Round:
    """What one worker did in one round. `began` and `ended` are seconds of a common clock."""

    began: float
    ended: float = 0.0
    evaluated: list[int] = field(default_factory=list)
    failure: str | None = None


class Start:
    """The barrier at which the processes of a measurement wait for each other."""

    barrier: multiprocessing.synchronize.Barrier

    @classmethod
    def hold(cls, barrier: Any) -> None:
        """Store the barrier; a process can get it only when it is started."""
        cls.barrier = barrier

    @classmethod
    def run(cls, contender: Ours | Plain, run: Callable[[], None]) -> Round:
        """Wait for all other processes, then run. An error ends the round and is recorded."""
        cls.barrier.wait(PATIENCE_S)
        n_before, done = len(contender.evaluated), Round(time.monotonic())
        try:
            run()
        except (optuna.exceptions.OptunaError, sa.exc.SQLAlchemyError, ValueError) as error:
            done.failure = f"{type(error).__name__}: {error}"
        done.ended = time.monotonic()
        done.evaluated = contender.evaluated[n_before:]
        return done


def share(url: str, name: str, cell: Cell, rounds: int, index: int) -> dict[Side, list[Round]]:
    """Run one worker's rounds on the two studies of a cell."""
    db = Database.when_it_answers(url, timeout_s=PATIENCE_S)
    contenders: dict[Side, Ours | Plain] = {
        "plain": db.retry(
            lambda: Plain(db, f"plain-{name}", make_protocol(cell.sampler), index),
            timeout_s=PATIENCE_S,
        ),
        "hpo": db.retry(lambda: Ours(db, f"hpo-{name}", f"worker-{index}"), timeout_s=PATIENCE_S),
    }
    done: dict[Side, list[Round]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            run = functools.partial(contenders[side].run, cell.share)
            done[side].append(Start.run(contenders[side], run))
    db.close()
    return done


def finish(url: str, name: str, side: Side, n_trials: int, index: int) -> Round:
    """Run one worker on a study that all workers share, until its budget is done."""
    db = Database(url)
    if side == "hpo":
        ours = Ours(db, name, f"worker-{index}")
        return Start.run(ours, ours.run)
    plain = Plain(db, name, make_protocol("random"), index)
    return Start.run(plain, lambda: plain.run(until=n_trials))


def take_turns(url: str, names: Sequence[str], index: int) -> list[list[Times]]:
    """Run one worker on studies of different sizes, one trial of each in turn; return its times."""
    db = Database(url)
    contenders = [Ours(db, name, f"worker-{index}") for name in names]
    for _ in range(N_TURNS):
        for ours in contenders:
            ours.run(1)
    db.close()
    return [ours.times for ours in contenders]


def side_by_side(n_workers: int, work: Callable[..., T], *call: Any) -> list[T]:
    """Run `work(*call, index)` in `n_workers` processes; return the results."""
    barrier = FORKS.Barrier(n_workers)
    with ProcessPoolExecutor(n_workers, FORKS, Start.hold, (barrier,)) as pool:
        futures = [pool.submit(work, *call, index) for index in range(n_workers)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(
                error, threading.BrokenBarrierError
            ):  # the others wait in vain for the one that failed
                raise error
        return [future.result() for future in futures]
