"""The progress display on stderr for runs without a database, such as `hpo reproduce`."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hpo.io.streams import one_line


QUIET_S = 60.0
"""Seconds without a printed line after which the next finished run prints the progress.

This holds only if stderr is not a terminal.
"""


class RunProgress:
    """Shows the progress of `n_runs` runs on stderr until the `with` block ends.

    A terminal shows a bar below the printed lines. If stderr is not a terminal, the progress is
    printed at the end of a run before which nothing was printed for `QUIET_S` seconds. A silent
    display prints nothing.
    """

    def __init__(self, n_runs: int, *, is_silent: bool = False) -> None:
        columns = (
            *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
            *(TextColumn("· about"), TimeRemainingColumn(), TextColumn("left")),
        )
        console = Console(stderr=True)
        disable = is_silent or not console.is_terminal
        self._bar = Progress(
            *columns, console=console, transient=True, redirect_stdout=False, disable=disable
        )
        self._task = self._bar.add_task("runs", total=n_runs)
        self._n_runs, self._is_silent = n_runs, is_silent
        self._n_done, self._printed_at = 0, time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """Count one more run as done."""
        self._n_done += 1
        self._bar.advance(self._task)
        if self._bar.disable and time.monotonic() - self._printed_at > QUIET_S:
            self.print_line(f"{self._n_done} of {self._n_runs} runs")

    def print_line(self, line: str) -> None:
        """Print a line, on a terminal above the bar."""
        self._printed_at = time.monotonic()
        if not self._is_silent:
            self._bar.console.print(one_line(line), markup=False, highlight=False, soft_wrap=True)
