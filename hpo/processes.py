"""Workers as processes: how many, which signals they hear, and how they end.

One worker runs in this very process. Several are spawned, each with a torch of its own; this
process then only watches them, shows the progress and passes a request to stop on.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType

from hpo import studies
from hpo.errors import HpoError, InputError, StoppedError
from hpo.limits import Limits, Stop, count_cores
from hpo.progress import Progress
from hpo.registry import unknown
from search_spaces import RecipeError
from storage.engine import Database
from storage.errors import StorageError


DEVICES = ("auto", "cpu", "cuda")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_worker(
    study: str | None = None,
    *,
    storage: str | None = None,
    processes: int | None = 1,
    device: str = "auto",
    max_trials: int | None = None,
    timeout: float | None = None,
    wait: bool = False,
    progress: bool = False,
) -> None:
    """Work on a study until it is complete, or on the least done ones where none is named.

    `processes` workers run side by side, None for one on each core; `max_trials` holds for each,
    `timeout` (seconds) for all: after it no new work is claimed. With `wait` they stay for new
    work. `progress` shows on stderr how the study goes.

    Raises:
        InputError: a number is out of its range, or the device is unknown.
        StudyMissingError: there is no such study.
        HpoError: no trial of the study is complete, or a worker died.
        StoppedError: a signal asked to stop; the work was given back.
        StorageError: the database cannot be used.
    """
    n_workers = _checked(processes, max_trials, timeout, device)
    limits = Limits(max_trials=max_trials, timeout_s=timeout, wait=wait)
    with contextlib.closing(studies.open_database(storage, create=wait)) as db:
        if study is not None:
            studies.open_study(db, study)
        stop = Stop()
        with _signals_heard(stop), Progress(db, study) if progress else contextlib.nullcontext():
            if n_workers == 1:
                _work(db, study, limits, device, stop)
            else:
                url = db.url.render_as_string(hide_password=False)
                _supervise(_start(n_workers, url, study, limits, device), stop)


def _checked(
    processes: int | None, max_trials: int | None, timeout: float | None, device: str
) -> int:
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    for name, value in (("processes", processes), ("max_trials", max_trials)):
        if value is not None and value < 1:
            raise InputError(f"{name}: should be at least 1, but it is {value}")
    if timeout is not None and not timeout > 0:
        raise InputError(f"timeout: should be seconds above 0, but it is {timeout}")
    return processes or count_cores()


def _work(
    db: Database, study: str | None, limits: Limits, device: str, stop: Stop, index: int = 0
) -> None:
    from hpo.worker import Worker  # loads torch

    Worker(db, limits, device, index, stop).run(study)


@contextlib.contextmanager
def _signals_heard(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM ask to stop; a second one ends the process at once."""

    def hear(signal_number: int, frame: FrameType | None) -> None:
        stop.ask(signal_number)
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, hear) for each in SIGNALS}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


class _Child:
    """A spawned worker; `failure` is its exit code and message, where it says so."""

    def __init__(
        self, index: int, url: str, study: str | None, limits: Limits, device: str
    ) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._answer, answer = spawn.Pipe(duplex=False)
        self.process: SpawnProcess = spawn.Process(
            target=_child_main,
            args=(index, url, study, limits, device, answer),
            name=f"worker {index}",
        )
        self.process.start()
        answer.close()

    def failure(self) -> tuple[int, str] | None:
        """What went wrong, once the process has ended."""
        with contextlib.suppress(EOFError):
            if self._answer.poll():
                code, message = self._answer.recv()
                return int(code), str(message)
        code = self.process.exitcode
        if code in (0, None):
            return None
        return 1, f"{self.process.name} died ({_how(code)}); what it did will be done again"


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _start(
    n_workers: int, url: str, study: str | None, limits: Limits, device: str
) -> list[_Child]:
    with _sigint_ignored():
        return [_Child(index, url, study, limits, device) for index in range(n_workers)]


@contextlib.contextmanager
def _sigint_ignored() -> Iterator[None]:
    """What is started in it is deaf to a terminal's Ctrl-C from its first moment on."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _supervise(children: list[_Child], stop: Stop) -> None:
    """Wait for all; pass a request to stop on; raise what the first failed one says."""
    running, failures, asked = list(children), [], False
    while running:
        connection.wait([child.process.sentinel for child in running], timeout=0.2)
        if stop.signal_number and not asked:
            asked = True
            for child in running:
                child.process.terminate()
        for child in [each for each in running if not each.process.is_alive()]:
            running.remove(child)
            if failure := child.failure():
                failures.append(failure)
                if running and not asked:
                    print(f"warning: {failure[1]}", file=sys.stderr)
    if asked:
        raise StoppedError(stop.signal_number)
    if failures and len(failures) == len(children):
        raise WorkersFailedError(*failures[-1])


class WorkersFailedError(HpoError):
    """Every worker process failed; carries the last one's exit code and message."""

    def __init__(self, exit_code: int, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def _child_main(
    index: int,
    url: str,
    study: str | None,
    limits: Limits,
    device: str,
    answer: connection.Connection,
) -> None:
    """A spawned worker: hears SIGTERM alone, since a terminal's Ctrl-C reaches the parent too."""
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    stop = Stop()
    with _signals_heard(stop):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            _work(Database(url), study, limits, device, stop, index)
        except (HpoError, StorageError, RecipeError) as error:
            answer.send((error.exit_code, str(error)))
            sys.exit(error.exit_code)


def _leave_with_parent() -> None:
    """When the parent is gone, give the work back and go."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
