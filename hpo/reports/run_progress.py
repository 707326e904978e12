"""What a person sees on stderr while runs are done that no database knows of."""

import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


QUIET_S = 60.0
"""A log gets a line at least this often while something is done."""


class RunProgress:
    """On a terminal a bar below the lines that are told, else those lines and how far it is."""

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
        self._n_done, self._told = 0, time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def advance(self) -> None:
        """One more run is done."""
        self._n_done += 1
        self._bar.advance(self._task)
        if self._bar.disable and time.monotonic() - self._told > QUIET_S:
            self.print_line(f"{self._n_done} of {self._n_runs} runs")

    def print_line(self, line: str) -> None:
        """A line that stays."""
        self._told = time.monotonic()
        if not self._is_silent:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
