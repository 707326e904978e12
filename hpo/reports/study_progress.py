"""The progress display of studies on stderr: a live table on a terminal, else plain lines.

The display reads the database. It therefore shows all workers of a study on all machines.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo import events
from hpo.errors import DamagedError, HpoError
from hpo.io.streams import visible
from hpo.reports.formatting import duration, percent, summary
from hpo.reports.run_progress import QUIET_S
from hpo.studies import lifecycle
from hpo.studies.lifecycle import Study
from hpo.studies.status import Best, Status, WorkerStatus, show
from storage.engine import Database


REFRESH_S = 0.5
"""Seconds between two updates of the live table."""

CLOSING_S = 5.0
"""Maximum seconds that a command waits at its end for the last update of the display."""

PLAIN_REFRESH_S = 2.0
"""Seconds between two checks for changed lines, if stderr is not a terminal."""


class StudyProgress:
    """Shows the progress of studies until the `with` block ends.

    `name` selects one study. If it is None, all studies that have workers or make progress are
    shown, also after the workers have left. If stderr is not a terminal, a study's line is logged
    as an event when it changes, and at the latest after `QUIET_S` seconds. If the block ends
    without an error, the result of each complete study is logged with the commands that come next;
    if no study is shown, it is logged that none had work.
    """

    def __init__(self, db: Database, name: str | None) -> None:
        self._db, self._name = db, name
        self._console = Console(stderr=True)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._started = time.monotonic()
        self._done_at_start: dict[str, int] = {}  # fold-epochs, by study
        self._shown_names: set[str] = set()
        self._is_readable = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._done.set()
        self._thread.join(CLOSING_S)  # the thread may wait for a database that does not answer
        if error is None and not self._thread.is_alive():
            shown = self._read()
            if self._is_readable and not shown:
                events.inform("no_work", "no study had work for this worker; see: hpo study list")
            for _study, status in shown:
                if status.is_complete and status.best is not None:
                    events.inform("result", result(status, status.best), study=status.name)

    def _run(self) -> None:
        self._read()  # notes how far each study is
        if self._console.is_terminal:
            self._run_live()
        else:
            self._run_plain()

    def _run_live(self) -> None:
        with Live(console=self._console, auto_refresh=False, redirect_stdout=False) as live:
            is_over = False
            while not is_over:
                is_over = self._done.wait(REFRESH_S)
                live.update(self.frame(), refresh=True)

    def frame(self) -> Group:
        """The live table at this moment."""
        return Group(*(self._panel(study, status) for study, status in self._read()))

    def _run_plain(self) -> None:
        logged: dict[str, tuple[str, float]] = {}  # the last line of each study, and its time
        is_over = False
        while not is_over:
            is_over = self._done.wait(PLAIN_REFRESH_S)
            for study, status in self._read():
                line = f"{status.name} {status.state}: {headline(status, study)}"
                last_line, logged_at = logged.get(study.name, ("", 0.0))
                if line != last_line or time.monotonic() - logged_at > QUIET_S:
                    logged[study.name] = (line, time.monotonic())
                    details = running_work(status, self._left_s(status), study)
                    events.inform("progress", f"{line} · {details}", study=study.name)

    def _read(self) -> list[tuple[Study, Status]]:
        """The studies to show; empty if the database cannot be read, which workers report."""
        try:
            if self._name is not None:
                studies = [lifecycle.open_study(self._db, self._name)]
            else:
                studies, _ = lifecycle.all_studies(self._db)
            statuses = list(self._statuses(studies))
        except HpoError:
            self._is_readable = False
            return []
        self._is_readable = True
        self._shown_names |= {
            status.name
            for _study, status in statuses
            if self._name or status.workers or self._n_done_since_start(status)
        }
        return [(study, status) for study, status in statuses if study.name in self._shown_names]

    def _statuses(self, studies: list[Study]) -> Iterator[tuple[Study, Status]]:
        """The studies with their status, without damaged ones, which workers report."""
        for study in studies:
            with suppress(DamagedError):
                yield study, show(self._db, study)

    def _left_s(self, status: Status) -> float | None:
        """Seconds until the study is complete, at the average speed since the display began.

        None while no epoch has been trained since then.
        """
        done, elapsed = self._n_done_since_start(status), time.monotonic() - self._started
        return status.effort.left * elapsed / done if done > 0 else None

    def _n_done_since_start(self, status: Status) -> int:
        """Fold-epochs that have been trained since the display began."""
        done = status.effort.done
        return done - self._done_at_start.setdefault(status.name, done)

    def _panel(self, study: Study, status: Status) -> Group:
        total = status.effort.done + status.effort.left
        bar = ProgressBar(total=max(1, total), completed=status.effort.done, width=40)
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(visible(status.name), "bold"), bar, Text(headline(status, study)))
        workers = Table.grid(padding=(0, 2))
        for worker in status.workers:
            since, silent = duration(worker.since_s), "silent" if worker.is_silent else ""
            workers.add_row("  ", worker.doing, epochs(worker, study), since, silent)
        return Group(head, Text(f"  {_left(self._left_s(status), status)}"), workers)


def result(status: Status, best: Best) -> str:
    """The test error of a complete study, and the commands that show and export its result."""
    name = status.name
    return (
        f"{name}: test error {summary(best.test_error)}; next: hpo study show {name}, or "
        f"hpo export {name} -o best.yaml"
    )


def headline(status: Status, study: Study) -> str:
    """The progress of a study in one line: its trials, its best error, its test runs."""
    counts = status.trials
    parts = [f"{counts.finished} of {counts.target} trials"]
    parts += [f"{n} {state}" for state, n in _not_completed(status).items() if n]
    if status.best is not None:
        parts.append(f"best {percent(status.best.validation_error)} (trial {status.best.trial})")
        if status.state != "searching":
            best = status.best
            n_failed = len(best.failed_test_runs)
            parts.append(f"{best.n_tested - n_failed} of {study.protocol.repeats} test runs")
            parts += [f"{n_failed} test runs failed"] if n_failed else []
    return " · ".join(parts)


def _not_completed(status: Status) -> dict[str, int]:
    return {"pruned": status.trials.pruned, "failed": status.trials.failed}


def running_work(status: Status, left_s: float | None, study: Study) -> str:
    """The work of each worker with its epoch, and the time that is left, in one line."""
    running = ", ".join(f"{worker.doing} ({epochs(worker, study)})" for worker in status.workers)
    left = _left(left_s, status)
    return f"running {running} · {left}" if running else left


def epochs(worker: WorkerStatus, study: Study) -> str:
    """The epoch that a worker has reached, and the number of epochs of its training.

    If the search space has the parameter `epochs`, the largest possible number is given.
    """
    space = study.protocol.search_space
    is_searched = "epochs" in space.names and "epochs" not in space.fixed
    limit = f"{'at most ' if is_searched else ''}{study.protocol.epochs}"
    return f"epoch {worker.n_epochs} of {limit}"


def _left(left_s: float | None, status: Status) -> str:
    if status.state == "complete":
        return "complete"
    return "estimating" if left_s is None else f"about {duration(left_s)} left"
