"""The command that runs workers: checks its settings, handles signals and starts the workers.

A single worker runs in this process. Several workers are processes of their own, and this process
only supervises them (see `hpo.workers.supervisor`) and shows the progress.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from types import FrameType
from typing import Any

from hpo import events
from hpo.arguments import checked
from hpo.errors import InputError
from hpo.events import LOG_FORMATS
from hpo.foreign_code.trust import decide, decided
from hpo.io import folders
from hpo.machine import DEVICES, count_cores
from hpo.registry import unknown
from hpo.reports.study_progress import StudyProgress
from hpo.studies import lifecycle
from hpo.subprocesses.spawn import SIGNALS, Handler, signal_handler
from hpo.subprocesses.stop import Stop
from hpo.workers.limits import Limits
from hpo.workers.supervisor import Assignment, Supervisor
from storage.engine import Database


@checked
@folders.kept()
def run_worker(
    study: str | None = None,
    *,
    storage: str | None = None,
    processes: int | None = 1,
    device: str = "auto",
    max_trials: int | None = None,
    timeout: float | None = None,
    wait: bool = False,
    storage_timeout: float = 300.0,
    max_failures: int = 10,
    trust: Sequence[str] = (),
    foreign_code: bool = True,
    progress: bool = False,
    log_format: str = "text",
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
) -> None:
    """Work on a study until it is complete; without a name, on the least done studies.

    study: the name of the study; None for all studies of the database.
    storage: the URL of the database; None for `HPO_STORAGE` or `sqlite:///hpo.db`.
    processes: the number of workers; None for one on each core.
    device: where to train: `auto`, `cpu` or `cuda`.
    max_trials: trials per worker process before the process exits.
    timeout: seconds after which no worker claims new work.
    wait: whether the workers wait for new work when the study is complete.
    storage_timeout: seconds that a worker waits for a database that does not answer.
    max_failures: failed trials in a row, or crashes in a row, before a worker process exits
        with an error and is not started again.
    trust: modules and packages whose networks and data sets workers may import, besides those in
        `HPO_TRUST` and those that you have named for this database in `create_study`.
    foreign_code: whether workers import networks and data sets that are not part of hpo. If not,
        `trust` and `HPO_TRUST` are ignored.
    progress: whether to show the progress of the study on stderr; only with `log_format` text.
    log_format: `text` for warnings on stderr, `json` for all events, one JSON object per line.
    metrics_port: the port for Prometheus (`/metrics`) and health checks (`/healthz`).
    metrics_host: the address on which that port is opened.

    Raises:
        InputError: a number is out of its range, the device is unknown, the port is taken, or the
            study needs a module that is not trusted.
        StudyMissingError: the database has no study of this name.
        HpoError: no trial of the study is complete, too many trials failed in a row, or every
            worker failed.
        StoppedError: a signal asked to stop; the work was given back.
        StorageError: the database cannot be used.
    """
    _check_names(device, log_format)
    limits = Limits(
        max_trials=_at_least_1("max_trials", max_trials),
        timeout_s=_seconds("timeout", timeout),
        wait=wait,
        storage_timeout_s=_seconds("storage_timeout", storage_timeout) or 0.0,
        max_failures=_at_least_1("max_failures", max_failures) or 1,
    )
    decision = decide(trust, foreign_code=foreign_code)
    n_workers = _at_least_1("processes", processes) or count_cores()
    own_name = events.worker_name(0) if n_workers == 1 else None
    stop = Stop()
    with (
        events.attached(events.printer(log_format), worker=own_name),
        events.captured_warnings(),
        signal_handler(_request_stop(stop, second_kills=n_workers == 1), *SIGNALS),
        closing(_open(lifecycle.storage_url(storage), study, limits, stop)) as db,
        decided(decision.of(db.url)),
        _metrics_served(db, metrics_host, metrics_port),
        StudyProgress(db, study) if progress and log_format == "text" else nullcontext(),
    ):
        _run(db, study, limits, device, n_workers, stop)


def _run(
    db: Database, study: str | None, limits: Limits, device: str, n_workers: int, stop: Stop
) -> None:
    """Run one worker in this process, or several as processes of their own."""
    if n_workers == 1:
        from hpo.workers.loop import Worker  # imported late, because it loads torch

        Worker(db, limits, device, 0, stop).run(study)
        return
    url = db.url.render_as_string(hide_password=False)
    assignment = Assignment(url=url, study=study, limits=limits, device=device)
    Supervisor(db, assignment, n_workers, stop).run()


def _open(url: str, study: str | None, limits: Limits, stop: Stop) -> Database:
    """Open the database, wait until it answers, and check that it has the study."""
    waiting: dict[str, Any] = {"timeout_s": limits.storage_timeout_s, "wait": stop.wait}
    with ExitStack() as on_error:
        db = Database.when_it_answers(url, create=limits.wait, **waiting)
        on_error.callback(db.close)
        if study is not None:
            db.retry(lambda: lifecycle.open_study(db, study), **waiting)
        on_error.pop_all()
    return db


def _check_names(device: str, log_format: str) -> None:
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    if log_format not in LOG_FORMATS:
        raise InputError(unknown("log format", log_format, LOG_FORMATS))


def _at_least_1(name: str, value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InputError(f"{name}: should be at least 1, but it is {value}")
    return value


def _seconds(name: str, value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise InputError(f"{name}: should be seconds above 0, but it is {value}")
    return value


@contextmanager
def _metrics_served(db: Database, host: str, port: int | None) -> Iterator[None]:
    """Serve metrics for Prometheus at the port until the block ends; do nothing without a port."""
    if port is None:
        yield
        return
    from hpo.workers.prometheus import Monitor, served

    monitor = Monitor(db)
    with events.attached(monitor), served(monitor, host, port):
        yield


def _request_stop(stop: Stop, *, second_kills: bool) -> Handler:
    """A signal handler that requests a stop.

    With `second_kills` a second signal ends this process at once.
    """

    def handle(signal_number: int, frame: FrameType | None) -> None:
        stop.request(signal_number)
        if second_kills:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)

    return handle
