"""Several workers of one command: spawned, watched, started again when they die.

Each has a torch of its own. The process that started them tells their events on, passes a request
to stop on, and gives back at once what a worker that died has left.
"""

import logging
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from logging.handlers import QueueHandler
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from typing import NamedTuple

from hpo import events
from hpo.errors import NOT_GIVEN_BACK, HpoError, StoppedError
from hpo.subprocesses.spawn import SPAWN, held_back, leave_with_parent
from hpo.subprocesses.stop import Stop
from hpo.workers.limits import Limits
from search_spaces import RecipeError
from storage import leases
from storage.engine import Database
from storage.errors import StorageError, UnreachableError


TOLD_AFTER_S = 5.0
"""A worker that has left with an error is told of after so long, unless all leave with it."""

DONE = "done"
"""The last word of a worker that leaves of itself."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What every worker of a command is to do."""

    url: str
    study: str | None
    limits: Limits
    device: str


class Failure(NamedTuple):
    """Why a worker ended: what it said itself, or that it died."""

    exit_code: int
    message: str
    died: bool


class Child:
    """A spawned worker."""

    def __init__(self, index: int, assignment: Assignment, n_deaths: int = 0) -> None:
        self.index, self.n_deaths = index, n_deaths
        self.pipe, pipe = SPAWN.Pipe(duplex=False)
        self.process: SpawnProcess = SPAWN.Process(
            target=_main, args=(index, assignment, pipe), name=f"worker {index}"
        )
        self.process.start()
        pipe.close()
        self.worker = events.worker_name(index, self.process.pid)
        self.is_heard_out = False
        self.ended_at = 0.0
        self._is_done = False
        self._answer: Failure | None = None

    def listen(self) -> None:
        """Tell on what it has told; work that it finished makes up for deaths before."""
        with suppress(EOFError, OSError):  # it has ended, perhaps in the middle of a word
            while self.pipe.poll():
                told = self.pipe.recv()
                if isinstance(told, Failure):
                    self._answer = told
                    continue
                if told == DONE:
                    self._is_done = True
                    continue
                logging.getLogger(told.name).handle(told)
                if events.event_of(told) == "finished":
                    self.n_deaths = 0
            return
        self.is_heard_out = True

    def failure(self) -> Failure | None:
        """What went wrong, once the process has ended."""
        if self._is_done or self.process.exitcode is None:
            return None
        return self._answer or Failure(1, f"{self.process.name} died ({self.how})", died=True)

    @property
    def how(self) -> str:
        """How the process ended."""
        code = self.process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @property
    def gave_back(self) -> bool:
        """Whether it ended by itself, after it had given its work back, or before it had any.

        Only a worker that is still being started dies of SIGTERM itself.
        """
        if self._answer is not None and self._answer.message == NOT_GIVEN_BACK:
            return False
        return self.process.exitcode in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


class Supervisor:
    """Starts the workers and stays until all have ended."""

    def __init__(self, db: Database, assignment: Assignment, n_workers: int, stop: Stop) -> None:
        self._db, self._assignment, self._stop = db, assignment, stop
        self._started, self._is_stopping = time.monotonic(), False
        self._running: list[Child] = []
        self._ended: list[Child] = []
        self._told: set[str] = set()
        for index in range(n_workers):
            self._start(index)

    def run(self) -> None:
        """Wait for all.

        Raises:
            StoppedError: a signal asked to stop.
            WorkersFailedError: every worker failed.
        """
        while self._running:
            connection.wait(self._signs(), timeout=0.2)
            self._pass_stop_on()
            for child in self._running:
                child.listen()
            for child in [each for each in self._running if not each.process.is_alive()]:
                child.listen()  # its last words
                self._running.remove(child)
                child.ended_at = time.monotonic()
                self._bury(child)
            self._tell_failures()
        if self._is_stopping:
            if all(child.gave_back for child in self._ended):
                raise StoppedError(self._stop.signal_number)
            raise StoppedError(self._stop.signal_number, NOT_GIVEN_BACK)
        _conclude(self._ended, self._told)

    def _signs(self) -> Iterable[int | connection.Connection]:
        for child in self._running:
            yield child.process.sentinel
            if not child.is_heard_out:
                yield child.pipe

    def _start(self, index: int, n_deaths: int = 0) -> None:
        limits, assignment = self._assignment.limits, self._assignment
        if limits.timeout_s is not None:  # it holds for the command
            left_s = limits.timeout_s - (time.monotonic() - self._started)
            assignment = replace(assignment, limits=replace(limits, timeout_s=max(0.0, left_s)))
        with held_back(signal.SIGINT):  # a terminal's Ctrl-C is for us, who pass it on
            self._running.append(Child(index, assignment, n_deaths))

    def _pass_stop_on(self) -> None:
        wanted = self._stop.signal_number != 0  # read once: a signal may come at any line
        for child in self._running:
            if self._stop.is_urgent:
                child.process.kill()
            elif wanted and not self._is_stopping:
                child.process.terminate()
        self._is_stopping = wanted

    def _tell_failures(self) -> None:
        """Tell of workers that have left with an error while others go on."""
        for child in self._ended:
            failure = child.failure()
            if failure is None or failure.died or failure.message in self._told:
                continue
            if self._running and time.monotonic() - child.ended_at > TOLD_AFTER_S:
                self._told.add(failure.message)
                events.warn("worker_failed", failure.message, worker=child.worker)

    def _bury(self, child: Child) -> None:
        """Note how a worker ended; one that died gives its work back and is started again."""
        failure = child.failure()
        if failure is None or not failure.died or self._is_stopping:
            self._ended.append(child)
            return
        with suppress(UnreachableError), self._db.errors_translated():  # its lease will run out
            leases.forsake(self._db, child.worker, child.how)
        n_deaths = child.n_deaths + 1
        is_replaced = n_deaths < self._assignment.limits.max_failures
        what = "what it did will be done again" if is_replaced else "it is not started again"
        words = f"{failure.message}; {what}"
        events.warn("worker_died", words, worker=child.worker, n_deaths=n_deaths)
        if is_replaced:
            self._start(child.index, n_deaths)
        else:
            self._ended.append(child)


def _conclude(children: list[Child], told: set[str]) -> None:
    """Raise what the workers say where all have failed; else tell of those that did."""
    failures = [failure for child in children if (failure := child.failure()) is not None]
    answered = [failure for failure in failures if not failure.died]
    if failures and len(failures) == len(children):
        raise WorkersFailedError(*(answered or failures)[0][:2])
    for message in dict.fromkeys(failure.message for failure in answered):
        if message not in told:
            events.warn("worker_failed", message)


class WorkersFailedError(HpoError):
    """Every worker process failed; carries the first one's exit code and message."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Relay(QueueHandler):
    """Sends events to the process that started this one."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # it is gone, and SIGTERM on its way to us
            self.queue.send(record)  # type: ignore[attr-defined]


def _main(index: int, assignment: Assignment, pipe: connection.Connection) -> None:
    """A spawned worker: hears SIGTERM alone, since a terminal's Ctrl-C reaches the parent too.

    One that is sent to the whole group and passed on by the parent comes twice: a second one
    changes nothing, and where it is urgent the parent kills.
    """
    stop = Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda signal_number, frame: stop.request(signal_number))
    leave_with_parent(signal.SIGTERM)  # the work is given back first
    try:
        name = events.worker_name(index)
        with events.attached(_Relay(pipe), worker=name), events.captured_warnings():  # type: ignore[arg-type]
            _work(index, assignment, stop)
        with suppress(BrokenPipeError):
            pipe.send(DONE)
    except (HpoError, StorageError, RecipeError) as error:
        with suppress(BrokenPipeError):  # whoever started us was killed
            pipe.send(Failure(error.exit_code, str(error), died=False))
        sys.exit(error.exit_code)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # while it ends, a late one must not kill it


def _work(index: int, assignment: Assignment, stop: Stop) -> None:
    from hpo.workers.loop import Worker  # loads torch

    limits = assignment.limits
    db = Database.when_it_answers(
        assignment.url, timeout_s=limits.storage_timeout_s, wait=stop.wait
    )
    Worker(db, limits, assignment.device, index, stop).run(assignment.study)
