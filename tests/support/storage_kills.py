"""Workers that kill themselves at a chosen moment of one step of their work.

To the database a worker's death after one statement and its death before the next are one and the
same moment, so there is one before each statement, one before each COMMIT and one after it.
"""

import functools
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from storage.claims import Plan
from storage.engine import Database
from storage.leases import record
from storage.retry import Outages
from tests.support.storage_worker import (
    OVER_S,
    do,
    give_parameters,
    judge_of,
    make_plan,
    measure,
    must_claim,
    new_study,
    report_last,
    train,
)


# Processes are forked from one that has imported everything and opened nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.support.storage_kills", "psycopg", "pymysql"])
JOIN_S = 600.0
SURVIVED = 1

MEASURED_ONCE, MEASURED_TWICE = make_plan(), make_plan(n_repeats=2)
DYING = make_plan(lease_s=0.3)
SILENT = make_plan(lease_s=OVER_S)


@dataclass
class Moments:
    """The moments that a database passes through, by name; at number `last` the process dies."""

    last: int | None = None
    passed: list[str] = field(default_factory=list)

    def reach(self, what: str) -> None:
        """Pass a moment, or die in it."""
        if len(self.passed) == self.last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(what)

    @contextmanager
    def of(self, engine: sa.Engine) -> Iterator[None]:
        """Watch all that goes through the engine."""
        listeners: dict[str, Callable[..., None]] = {
            "before_cursor_execute": lambda *call: self.reach(
                f"before {' '.join(call[2].split())}"
            ),
            "commit": lambda *call: self.reach("before COMMIT"),
            "checkin": lambda *call: self.reach("after COMMIT"),
        }
        for event, listener in listeners.items():
            sa.event.listen(engine, event, listener)
        try:
            yield
        finally:
            for event, listener in listeners.items():
                sa.event.remove(engine, event, listener)


def nothing(db: Database, study_id: int) -> None:
    """Nobody has worked on the study."""


def one_trial(db: Database, study_id: int) -> None:
    """The planned trial is done."""
    do(db, must_claim(db, study_id, DYING, "forerunner"))


def silent_worker(db: Database, study_id: int) -> None:
    """The second trial was left by a worker that had reported once."""
    one_trial(db, study_id)
    held = must_claim(db, study_id, SILENT, "silent")
    x = give_parameters(db, held)
    report_last(db, held, [x], judge_of(db, held))


def claims_work(db: Database, study_id: int) -> Iterator[None]:
    """The worker dies in its claim."""
    yield
    must_claim(db, study_id, DYING, "dying")


def gives_parameters(db: Database, study_id: int) -> Iterator[None]:
    """The worker dies giving its trial parameters."""
    held = must_claim(db, study_id, DYING, "dying")
    yield
    give_parameters(db, held)


def reports(db: Database, study_id: int) -> Iterator[None]:
    """The worker dies in its second report, with the pruner's judgement."""
    held = must_claim(db, study_id, DYING, "dying")
    x, judge = give_parameters(db, held), judge_of(db, held)
    report_last(db, held, [x], judge)
    yield
    report_last(db, held, [x, x], judge)


def records_trial(db: Database, study_id: int) -> Iterator[None]:
    """The worker dies recording its trial."""
    held = must_claim(db, study_id, DYING, "dying")
    result = train(db, held, give_parameters(db, held))
    yield
    record(db, held, result)


def records_test_run(db: Database, study_id: int) -> Iterator[None]:
    """The worker dies recording its test run."""
    held = must_claim(db, study_id, DYING, "dying")
    yield
    record(db, held, measure(held))


@dataclass(frozen=True)
class Scene:
    """What others did before, and what the worker does, from its `yield` on in danger."""

    before: Callable[[Database, int], None]
    act: Callable[[Database, int], Iterator[None]]
    n_trials: int = 2
    plan: Plan = MEASURED_ONCE

    def prepare(self, db: Database) -> int:
        """A study on which the scene can begin; gives its id."""
        study_id = new_study(db, self.n_trials)
        self.before(db, study_id)
        return study_id


SCENES = {
    "claims a planned trial": Scene(nothing, claims_work),
    "claims a trial": Scene(one_trial, claims_work),
    "gives a planned trial its parameters": Scene(nothing, gives_parameters),
    "draws parameters": Scene(one_trial, gives_parameters),
    "reports": Scene(nothing, reports),
    "records a trial": Scene(nothing, records_trial),
    "takes a trial over": Scene(silent_worker, claims_work),
    "claims a test run": Scene(one_trial, claims_work, 1, MEASURED_TWICE),
    "records a test run": Scene(one_trial, records_test_run, 1, MEASURED_TWICE),
}


def act(db: Database, study_id: int, scene: Scene, last: int | None = None) -> list[str]:
    """Act the scene, up to the moment number `last`; gives the moments passed."""
    db.outages = Outages()  # a worker that starts has heard of none
    acting = scene.act(db, study_id)
    next(acting)
    moments = Moments(last)
    with moments.of(db.engine):
        next(acting, None)
    return moments.passed


@dataclass(frozen=True, kw_only=True)
class Death:
    """A worker that died in its scene, and the study that it died on."""

    moment: str
    study_id: int
    exit_code: int


open_database = functools.cache(Database)


def die_at_every_moment(url: str, name: str) -> list[Death]:
    """Act the scene once to its end, then for each of its moments up to there and no further.

    The workers are forks of this process, which has no connection open while it forks.
    """
    db, scene = open_database(url), SCENES[name]
    moments = act(db, scene.prepare(db), scene)
    study_ids = [scene.prepare(db) for _ in moments]
    db.close()
    pids = [_fork(db, study_id, scene, last) for last, study_id in enumerate(study_ids)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return [
        Death(moment=moment, study_id=study_id, exit_code=code)
        for moment, study_id, code in zip(moments, study_ids, codes, strict=True)
    ]


def _fork(db: Database, study_id: int, scene: Scene, last: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            act(db, study_id, scene, last)
        finally:
            os._exit(SURVIVED)
    return pid


def make_tables(url: str, last: int | None) -> None:
    """Open a database and make its tables, up to the statement number `last` on ours."""
    moments = Moments(last)

    def reach(*call: Any) -> None:
        if "hpo_" in call[2] and call[2].lstrip().startswith(("CREATE", "INSERT")):
            moments.reach(call[2])

    sa.event.listen(sa.Engine, "before_cursor_execute", reach)
    Database(url, create=True).close()


def run_together(target: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """Call the target in a process for each of the calls, all at once; gives the exit codes."""
    processes = [FORKS.Process(target=target, args=call) for call in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join(JOIN_S)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]
