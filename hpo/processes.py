"""Workers as processes: how many, which signals they hear, and how they end.

One worker runs in this very process. Several are spawned, each with a torch of its own; this
process then only watches them, shows the progress and passes a request to stop on.
"""

import contextlib
import signal
import sys
from multiprocessing import connection
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import NamedTuple

from hpo import studies
from hpo.children import SIGNALS, SPAWN, Handler, handled, leave_with_parent
from hpo.errors import HpoError, InputError, StoppedError
from hpo.limits import Limits, Stop, count_cores
from hpo.progress import Progress
from hpo.registry import unknown
from search_spaces import RecipeError
from storage.engine import Database
from storage.errors import StorageError


DEVICES = ("auto", "cpu", "cuda")
NOT_GIVEN_BACK = "stopped; some work was not given back and is taken up when its lease runs out"


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
        shown = Progress(db, study) if progress else contextlib.nullcontext()
        with handled(_asking(stop, second_ends=n_workers == 1), *SIGNALS), shown:
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


def _asking(stop: Stop, *, second_ends: bool) -> Handler:
    """What asks to stop when a signal comes; with `second_ends` a second one ends us at once."""

    def hear(signal_number: int, frame: FrameType | None) -> None:
        stop.ask(signal_number)
        if second_ends:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)

    return hear


class _Child:
    """A spawned worker."""

    def __init__(
        self, index: int, url: str, study: str | None, limits: Limits, device: str
    ) -> None:
        self._answer, answer = SPAWN.Pipe(duplex=False)
        self.process: SpawnProcess = SPAWN.Process(
            target=_child_main,
            args=(index, url, study, limits, device, answer),
            name=f"worker {index}",
        )
        self.process.start()
        answer.close()
        self._failure: _Failure | None = None

    def failure(self) -> "_Failure | None":
        """What went wrong, once the process has ended."""
        code = self.process.exitcode
        if self._failure is None and code not in (0, None):
            self._failure = self._answered() or _Failure(
                1, f"{self.process.name} died ({_how(code)}); what it did will be done again", True
            )
        return self._failure

    def _answered(self) -> "_Failure | None":
        with contextlib.suppress(EOFError):
            if self._answer.poll():
                code, message = self._answer.recv()
                return _Failure(int(code), str(message), died=False)
        return None

    @property
    def gave_back(self) -> bool:
        """Whether it ended by itself, after it had given its work back, or before it had any.

        Only a worker that is still being started dies of SIGTERM itself.
        """
        return self.process.exitcode in (0, 128 + signal.SIGTERM, -signal.SIGTERM)


class _Failure(NamedTuple):
    """Why a worker ended: what it said itself, or that it died."""

    exit_code: int
    message: str
    died: bool


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _start(
    n_workers: int, url: str, study: str | None, limits: Limits, device: str
) -> list[_Child]:
    with handled(signal.SIG_IGN, signal.SIGINT):  # a terminal's Ctrl-C is for us, who pass it on
        return [_Child(index, url, study, limits, device) for index in range(n_workers)]


def _supervise(children: list[_Child], stop: Stop) -> None:
    """Wait for all; pass a request to stop on; a worker that dies is told of at once."""
    running, asked = list(children), False
    while running:
        connection.wait([child.process.sentinel for child in running], timeout=0.2)
        wanted = stop.signal_number != 0  # read once: a signal may come at any line
        for child in running:
            if stop.is_urgent:
                child.process.kill()
            elif wanted and not asked:
                child.process.terminate()
        asked = wanted
        for child in [each for each in running if not each.process.is_alive()]:
            running.remove(child)
            failure = child.failure()
            if failure is not None and failure.died and not asked:
                _warn(failure.message)
    if asked:
        if all(child.gave_back for child in children):
            raise StoppedError(stop.signal_number)
        raise StoppedError(stop.signal_number, NOT_GIVEN_BACK)
    _conclude([failure for child in children if (failure := child.failure()) is not None], children)


def _conclude(failures: list[_Failure], children: list[_Child]) -> None:
    """Raise what the workers say where all have failed; else tell of those that did."""
    answered = [failure for failure in failures if not failure.died]
    if failures and len(failures) == len(children):
        raise WorkersFailedError(*(answered or failures)[0][:2])
    for message in dict.fromkeys(failure.message for failure in answered):
        _warn(message)


def _warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


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
    """A spawned worker: hears SIGTERM alone, since a terminal's Ctrl-C reaches the parent too.

    One that is sent to the whole group and passed on by the parent comes twice: a second one
    changes nothing, and where it is urgent the parent kills.
    """
    stop = Stop()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda signal_number, frame: stop.ask(signal_number))
    leave_with_parent(signal.SIGTERM)  # the work is given back first
    try:
        _work(Database(url), study, limits, device, stop, index)
    except (HpoError, StorageError, RecipeError) as error:
        answer.send((error.exit_code, str(error)))
        sys.exit(error.exit_code)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # while it ends, a late one must not kill it
