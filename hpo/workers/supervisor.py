"""Several worker processes of one command: started, watched, and started again after a crash.

The supervising process logs the events of its workers and passes a request to stop on to them. It
gives back the work of a crashed worker at once, so that nobody waits until its lease runs out.
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
from hpo.io import folders, streams
from hpo.subprocesses.spawn import SPAWN, leave_with_parent, signals_blocked, spawning
from hpo.subprocesses.stop import Stop
from hpo.workers.limits import Limits
from storage import leases
from storage.engine import Database
from storage.errors import UnreachableError


FAILURE_LOGGED_AFTER_S = 5.0
"""Seconds before one worker's error is logged; if all workers fail, the error is raised instead."""

DONE = "done"
"""The last message of a worker that ends without an error."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """What every worker of a command gets: database URL, study (None for all), limits, device."""

    url: str
    study: str | None
    limits: Limits
    device: str


class Failure(NamedTuple):
    """Why a worker failed. `has_crashed` means that the process died without sending a reason."""

    exit_code: int
    message: str
    has_crashed: bool


class WorkerProcess:
    """A spawned worker, as the supervising process sees it.

    `n_deaths` are the crashes of this worker in a row, over all its processes.
    """

    def __init__(self, index: int, assignment: Assignment, n_deaths: int = 0) -> None:
        self.index, self.n_deaths = index, n_deaths
        self.pipe, child_pipe = SPAWN.Pipe(duplex=False)
        self.process: SpawnProcess = SPAWN.Process(
            target=_main, args=(index, assignment, child_pipe), name=f"worker {index}"
        )
        self.process.start()
        child_pipe.close()
        self.name = events.worker_name(index, self.process.pid)
        self.is_pipe_closed = False
        self.ended_at = 0.0
        self._is_done = False
        self._failure: Failure | None = None

    def receive(self) -> None:
        """Receive and handle all messages that the process has sent."""
        with suppress(EOFError, OSError):  # the process has ended, perhaps within a message
            while self.pipe.poll():
                self._handle(self.pipe.recv())
            return
        self.is_pipe_closed = True

    def _handle(self, message: logging.LogRecord | Failure | str) -> None:
        """Log a record; a finished piece of work resets the count of crashes."""
        if isinstance(message, logging.LogRecord):
            logging.getLogger(message.name).handle(message)
            if events.event_of(message) == "finished":
                self.n_deaths = 0
        elif isinstance(message, Failure):
            self._failure = message
        elif message == DONE:
            self._is_done = True

    def failure(self) -> Failure | None:
        """Why the process failed; None while it runs and if it ended without an error."""
        if self._is_done or self.process.exitcode is None:
            return None
        crash = Failure(1, f"{self.process.name} died ({self.ending})", has_crashed=True)
        return self._failure or crash

    @property
    def ending(self) -> str:
        """How the process ended: the signal that killed it, or its exit code."""
        code = self.process.exitcode or 0
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    @property
    def gave_back(self) -> bool:
        """Whether the process ended by itself and held no work at its end.

        SIGTERM kills a process only before it has installed its handler, so before it has work.
        """
        if self._failure is not None and self._failure.message == NOT_GIVEN_BACK:
            return False
        return self.process.exitcode in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


class Supervisor:
    """Starts the workers and watches them until all have ended."""

    def __init__(self, db: Database, assignment: Assignment, n_workers: int, stop: Stop) -> None:
        self._db, self._assignment, self._stop = db, assignment, stop
        self._started, self._is_stopping = time.monotonic(), False
        self._running: list[WorkerProcess] = []
        self._ended: list[WorkerProcess] = []
        self._logged: set[str] = set()
        for index in range(n_workers):
            self._start(index)

    def run(self) -> None:
        """Watch the workers until all have ended.

        Raises:
            StoppedError: a signal asked to stop.
            WorkersFailedError: every worker failed.
        """
        while self._running:
            connection.wait(self._wakers(), timeout=0.2)
            self._pass_stop_on()
            for worker in self._running:
                worker.receive()
            self._collect_ended()
            self._log_failures()
        if self._is_stopping:
            if all(worker.gave_back for worker in self._ended):
                raise StoppedError(self._stop.signal_number)
            raise StoppedError(self._stop.signal_number, NOT_GIVEN_BACK)
        _conclude(self._ended, self._logged)

    def _wakers(self) -> Iterable[int | connection.Connection]:
        """The handles on which the supervisor waits for a worker's next message or end."""
        for worker in self._running:
            yield worker.process.sentinel
            if not worker.is_pipe_closed:
                yield worker.pipe

    def _start(self, index: int, n_deaths: int = 0) -> None:
        limits, assignment = self._assignment.limits, self._assignment
        if limits.timeout_s is not None:  # it counts from the start of the command
            left_s = limits.timeout_s - (time.monotonic() - self._started)
            assignment = replace(assignment, limits=replace(limits, timeout_s=max(0.0, left_s)))
        # Ctrl-C in a terminal is for this process, not for workers.
        with signals_blocked(signal.SIGINT), spawning():
            self._running.append(WorkerProcess(index, assignment, n_deaths))

    def _pass_stop_on(self) -> None:
        is_requested = self._stop.signal_number != 0  # read once: a signal may come at any line
        for worker in self._running:
            if self._stop.is_urgent:
                worker.process.kill()
            elif is_requested and not self._is_stopping:
                worker.process.terminate()
        self._is_stopping = is_requested

    def _collect_ended(self) -> None:
        for worker in [worker for worker in self._running if not worker.process.is_alive()]:
            worker.receive()  # the last messages
            self._running.remove(worker)
            worker.ended_at = time.monotonic()
            failure = worker.failure()
            if failure is None or not failure.has_crashed or self._is_stopping:
                self._ended.append(worker)
            else:
                self._replace_crashed(worker, failure)

    def _replace_crashed(self, worker: WorkerProcess, failure: Failure) -> None:
        """Give back a crashed worker's work; start it again unless it crashed too often."""
        # If the database does not answer, the leases run out by themselves.
        with suppress(UnreachableError), self._db.errors_translated():
            leases.end_leases(self._db, worker.name, worker.ending)
        n_deaths = worker.n_deaths + 1
        is_replaced = n_deaths < self._assignment.limits.max_failures
        consequence = "its work will be done again" if is_replaced else "it is not started again"
        message = f"{failure.message}; {consequence}"
        events.warn("worker_died", message, worker=worker.name, n_deaths=n_deaths)
        if is_replaced:
            self._start(worker.index, n_deaths)
        else:
            self._ended.append(worker)

    def _log_failures(self) -> None:
        """Log the errors of workers that left while others go on, each message once."""
        for worker in self._ended:
            failure = worker.failure()
            if failure is None or failure.has_crashed or failure.message in self._logged:
                continue
            if self._running and time.monotonic() - worker.ended_at > FAILURE_LOGGED_AFTER_S:
                self._logged.add(failure.message)
                events.warn("worker_failed", failure.message, worker=worker.name)


def _conclude(workers: list[WorkerProcess], logged: set[str]) -> None:
    """Raise an error if every worker failed; log those failures that are not logged yet."""
    failures = [failure for worker in workers if (failure := worker.failure()) is not None]
    explained = [failure for failure in failures if not failure.has_crashed]
    if failures and len(failures) == len(workers):
        first = (explained or failures)[0]
        raise WorkersFailedError(first.exit_code, first.message)
    for message in dict.fromkeys(failure.message for failure in explained):
        if message not in logged:
            events.warn("worker_failed", message)


class WorkersFailedError(HpoError):
    """Every worker process failed. The error has the exit code and the message of one process."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _Relay(QueueHandler):
    """Sends log records to the supervising process."""

    def enqueue(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # the supervisor is gone; SIGTERM is on its way to this process
            self.queue.send(record)  # type: ignore[attr-defined]


def _main(index: int, assignment: Assignment, pipe: connection.Connection) -> None:
    """The main function of a spawned worker.

    A worker ignores SIGINT. A terminal sends Ctrl-C to the supervisor, too, and the supervisor
    forwards it as SIGTERM. A second SIGTERM has no effect, because a SIGTERM to the whole process
    group reaches a worker twice: from the sender and from the supervisor. To end a worker at once,
    the supervisor kills the worker.
    """
    streams.protect(has_data=False)
    stop = Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda signal_number, frame: stop.request(signal_number))
    leave_with_parent(signal.SIGTERM)  # so that the work is given back first
    try:
        name = events.worker_name(index)
        with events.attached(_Relay(pipe), worker=name), events.captured_warnings():  # type: ignore[arg-type]
            _work(index, assignment, stop)
        with suppress(BrokenPipeError):
            pipe.send(DONE)
    except HpoError as error:
        with suppress(BrokenPipeError):  # the supervisor was killed
            pipe.send(Failure(error.exit_code, str(error), has_crashed=False))
        sys.exit(error.exit_code)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a late signal must not kill it as it ends


@folders.kept()
def _work(index: int, assignment: Assignment, stop: Stop) -> None:
    from hpo.workers.loop import Worker  # imported late, because it loads torch

    limits = assignment.limits
    db = Database.when_it_answers(
        assignment.url, timeout_s=limits.storage_timeout_s, wait=stop.wait
    )
    Worker(db, limits, assignment.device, index, stop).run(assignment.study)
