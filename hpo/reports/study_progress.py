"""What a person sees while workers work, on stderr: a live table, else plain lines.

It reads the database as anyone can, so it shows all workers of a study, wherever they run.
"""

import threading
import time
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hpo import events
from hpo.errors import HpoError
from hpo.reports.formatting import duration, percent
from hpo.reports.run_progress import QUIET_S
from hpo.studies import lifecycle
from hpo.studies.lifecycle import Study
from hpo.studies.status import Status, WorkerStatus, show
from storage.engine import Database
from storage.errors import StorageError


REFRESH_S = 0.5
"""How often the database is read for a live table."""

CLOSING_S = 5.0
"""How long its end waits for the last frame."""

PLAIN_REFRESH_S = 2.0
"""How often it is read for plain lines, of which changed ones and long quiet ones are printed."""


class StudyProgress:
    """Shows how the named study goes, or all that are worked on, until the `with` block ends."""

    def __init__(self, db: Database, name: str | None) -> None:
        self._db, self._name = db, name
        self._console = Console(stderr=True)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._started = time.monotonic()
        self._effort_before: dict[str, int] = {}
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join(CLOSING_S)  # it may hang on a database that does not answer

    def _run(self) -> None:
        if self._console.is_terminal:
            self._run_live()
        else:
            self._run_plain()

    def _run_live(self) -> None:
        with Live(console=self._console, auto_refresh=False, redirect_stdout=False) as live:
            over = False
            while not over:
                over = self._done.wait(REFRESH_S)
                live.update(self.frame(), refresh=True)

    def frame(self) -> Group:
        """What a terminal shows at this moment."""
        return Group(*(self._panel(study, status) for study, status in self._read()))

    def _run_plain(self) -> None:
        printed: dict[str, tuple[str, float]] = {}
        over = False
        while not over:
            over = self._done.wait(PLAIN_REFRESH_S)
            for study, status in self._read():
                news = f"{status.name} {status.state}: {headline(status, study)}"
                before, told = printed.get(study.name, ("", 0.0))
                if news != before or time.monotonic() - told > QUIET_S:
                    printed[study.name] = (news, time.monotonic())
                    rest = what_runs(status, self._left_s(status), study)
                    events.inform("progress", f"{news} · {rest}", study=study.name)

    def _read(self) -> list[tuple[Study, Status]]:
        """The studies to show; none where they cannot be read, which workers tell of."""
        try:
            if self._name is not None:
                found = [lifecycle.open_study(self._db, self._name)]
            else:
                found, _ = lifecycle.every(self._db)
            shown = [(study, show(self._db, study)) for study in found]
        except (StorageError, HpoError):
            return []
        self._seen |= {study.name for study, status in shown if self._name or status.workers}
        return [(study, status) for study, status in shown if study.name in self._seen]

    def _left_s(self, status: Status) -> float | None:
        """Seconds until the study is complete at the speed since we began; None at first."""
        before = self._effort_before.setdefault(status.name, status.effort.done)
        done, elapsed = status.effort.done - before, time.monotonic() - self._started
        return status.effort.left * elapsed / done if done > 0 else None

    def _panel(self, study: Study, status: Status) -> Group:
        total = status.effort.done + status.effort.left
        bar = ProgressBar(total=max(1, total), completed=status.effort.done, width=40)
        head = Table.grid(padding=(0, 1))
        head.add_row(Text(status.name, "bold"), bar, Text(headline(status, study)))
        workers = Table.grid(padding=(0, 2))
        for worker in status.workers:
            since, silent = duration(worker.since_s), "silent" if worker.is_silent else ""
            workers.add_row("  ", worker.doing, epochs(worker, study), since, silent)
        return Group(head, Text(f"  {_left(self._left_s(status), status)}"), workers)


def headline(status: Status, study: Study) -> str:
    """The state of a study in one line: trials of the budget, test runs, the best error so far."""
    counts = status.trials
    parts = [f"{counts.finished} of {counts.target} trials"]
    parts += [f"{n} {word}" for n, word in _unfortunate(status) if n]
    if status.best is not None:
        parts.append(f"best {percent(status.best.validation_error)} (trial {status.best.trial})")
        if status.state != "searching":
            test_error = status.best.test_error
            parts.append(
                f"{test_error.n if test_error else 0} of {study.protocol.repeats} test runs"
            )
    return " · ".join(parts)


def _unfortunate(status: Status) -> list[tuple[int, str]]:
    return [(status.trials.pruned, "pruned"), (status.trials.failed, "failed")]


def what_runs(status: Status, left_s: float | None, study: Study) -> str:
    """Which work is under way, how far it is, and the time that is left."""
    running = ", ".join(f"{each.doing} ({epochs(each, study)})" for each in status.workers)
    left = _left(left_s, status)
    return f"running {running} · {left}" if running else left


def epochs(worker: WorkerStatus, study: Study) -> str:
    """How far a worker is; where epochs are searched, each trial has a number of its own."""
    space = study.protocol.search_space
    is_searched = "epochs" in space.names and "epochs" not in space.fixed
    most = f"{'at most ' if is_searched else ''}{study.protocol.epochs}"
    return f"epoch {worker.n_epochs} of {most}"


def _left(left_s: float | None, status: Status) -> str:
    if status.state == "complete":
        return "complete"
    return "about ? left" if left_s is None else f"about {duration(left_s)} left"
