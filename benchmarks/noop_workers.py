"""The processes of a measurement: all start at the same moment, once each is ready."""

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
PATIENCE_S = 120.0

# Processes are forked from one that has imported everything and opened nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["benchmarks.noop_workers", "tests.support.databases", "psycopg", "pymysql"]
)


@dataclass(frozen=True)
class Cell:
    """Who works on what: so many workers with this sampler, after so many finished trials."""

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
class Spell:
    """What one worker did from one start to its end; moments in seconds of a common clock."""

    began: float
    ended: float = 0.0
    evaluated: list[int] = field(default_factory=list)
    failure: str | None = None


class Start:
    """The barrier that lets all processes of a measurement start at once."""

    barrier: multiprocessing.synchronize.Barrier

    @classmethod
    def hold(cls, barrier: Any) -> None:
        """Keep the barrier, which a process can only be born with."""
        cls.barrier = barrier

    @classmethod
    def spell(cls, contender: Ours | Plain, run: Callable[[], None]) -> Spell:
        """Run when all others do, too; what plain Optuna does not survive is noted."""
        cls.barrier.wait(PATIENCE_S)
        n_before, spell = len(contender.evaluated), Spell(time.monotonic())
        try:
            run()
        except (optuna.exceptions.OptunaError, sa.exc.SQLAlchemyError, ValueError) as error:
            spell.failure = f"{type(error).__name__}: {error}"
        spell.ended = time.monotonic()
        spell.evaluated = contender.evaluated[n_before:]
        return spell


def share(url: str, name: str, cell: Cell, rounds: int, index: int) -> dict[Side, list[Spell]]:
    """One worker's rounds on the two studies of a cell."""
    db = Database.when_it_answers(url, timeout_s=PATIENCE_S)
    contenders: dict[Side, Ours | Plain] = {
        "plain": db.retry(
            lambda: Plain(db, f"plain-{name}", make_protocol(cell.sampler), index),
            timeout_s=PATIENCE_S,
        ),
        "hpo": db.retry(lambda: Ours(db, f"hpo-{name}", f"worker-{index}"), timeout_s=PATIENCE_S),
    }
    spells: dict[Side, list[Spell]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            run = functools.partial(contenders[side].run, cell.share)
            spells[side].append(Start.spell(contenders[side], run))
    db.close()
    return spells


def finish(url: str, name: str, side: Side, n_trials: int, index: int) -> Spell:
    """One worker's part of a study that all work on until its budget is done."""
    db = Database(url)
    if side == "hpo":
        ours = Ours(db, name, f"worker-{index}")
        return Start.spell(ours, ours.run)
    plain = Plain(db, name, make_protocol("random"), index)
    return Start.spell(plain, lambda: plain.run(until=n_trials))


def take_turns(url: str, names: Sequence[str], index: int) -> list[list[Times]]:
    """One worker's times on studies of different sizes, a trial of each in turn."""
    db = Database(url)
    contenders = [Ours(db, name, f"worker-{index}") for name in names]
    for _ in range(N_TURNS):
        for ours in contenders:
            ours.run(1)
    db.close()
    return [ours.times for ours in contenders]


def side_by_side(n_workers: int, work: Callable[..., T], *call: Any) -> list[T]:
    """What each of the processes gives, which get the call and their index."""
    barrier = FORKS.Barrier(n_workers)
    with ProcessPoolExecutor(n_workers, FORKS, Start.hold, (barrier,)) as pool:
        futures = [pool.submit(work, *call, index) for index in range(n_workers)]
        errors = [error for future in futures if (error := future.exception()) is not None]
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):  # others only missed this one
                raise error
        return [future.result() for future in futures]
