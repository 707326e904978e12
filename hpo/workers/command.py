"""Workers as processes: how many, which signals they hear, and how they end.

One worker runs in this very process. Several are spawned (see `supervision`), and this process
then only watches them and shows the progress.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from types import FrameType
from typing import Any

from hpo import events
from hpo.errors import InputError
from hpo.events import LOG_FORMATS
from hpo.machine import DEVICES, count_cores
from hpo.registry import unknown
from hpo.reports.study_progress import StudyProgress
from hpo.studies import lifecycle
from hpo.subprocesses.spawn import SIGNALS, Handler, handled
from hpo.subprocesses.stop import Stop
from hpo.workers.limits import Limits
from hpo.workers.supervisor import Assignment, Supervisor
from storage.engine import Database


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
    foreign_code: bool = True,
    progress: bool = False,
    log_format: str = "text",
    metrics_port: int | None = None,
    metrics_host: str = "127.0.0.1",
) -> None:
    """Work on a study until it is complete, or on the least done ones where none is named.

    `processes` workers run side by side, None for one on each core; `max_trials` holds for each,
    `timeout` (seconds) for all: after it no new work is claimed. With `wait` they stay for new
    work. They wait `storage_timeout` seconds for a database that is away, and leave after
    `max_failures` failed trials in a row. Without `foreign_code` they import no network and no data
    set that is not hpo's own. `progress` shows on stderr how the study goes; with the `log_format`
    json there are events instead, one JSON object a line. At `metrics_port` Prometheus finds
    figures, and `/healthz` whether all is well.

    Raises:
        InputError: a number is out of its range, the device is unknown, or the port is taken.
        StudyMissingError: there is no such study.
        HpoError: no trial of the study is complete, too many failed in a row, or workers died.
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
        foreign_code=foreign_code,
    )
    n_workers = _at_least_1("processes", processes) or count_cores()
    own_name = events.worker_name(0) if n_workers == 1 else None
    stop = Stop()
    with (
        events.attached(events.printer(log_format), worker=own_name),
        events.captured_warnings(),
        handled(_asking(stop, second_ends=n_workers == 1), *SIGNALS),
        closing(_opened(lifecycle.storage_url(storage), study, limits, stop)) as db,
        _watched(db, metrics_host, metrics_port),
        StudyProgress(db, study) if progress and log_format == "text" else nullcontext(),
    ):
        if n_workers == 1:
            from hpo.workers.loop import Worker  # loads torch

            Worker(db, limits, device, 0, stop).run(study)
        else:
            url = db.url.render_as_string(hide_password=False)
            assignment = Assignment(url=url, study=study, limits=limits, device=device)
            Supervisor(db, assignment, n_workers, stop).run()


def _opened(url: str, study: str | None, limits: Limits, stop: Stop) -> Database:
    """The database, in which the study is; one that does not answer yet is waited for."""
    patience: dict[str, Any] = {"timeout_s": limits.storage_timeout_s, "wait": stop.wait}
    with ExitStack() as opened:
        db = Database.when_it_answers(url, create=limits.wait, **patience)
        opened.callback(db.close)
        if study is not None:
            db.retry(lambda: lifecycle.open_study(db, study), **patience)
        opened.pop_all()
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
def _watched(db: Database, host: str, port: int | None) -> Iterator[None]:
    """With a port, figures for Prometheus are served there."""
    if port is None:
        yield
        return
    from hpo.workers.prometheus import Monitor, served

    monitor = Monitor(db)
    with events.attached(monitor), served(monitor, host, port):
        yield


def _asking(stop: Stop, *, second_ends: bool) -> Handler:
    """What asks to stop when a signal comes; with `second_ends` a second one ends us at once."""

    def hear(signal_number: int, frame: FrameType | None) -> None:
        stop.request(signal_number)
        if second_ends:
            for each in SIGNALS:
                signal.signal(each, signal.SIG_DFL)

    return hear
