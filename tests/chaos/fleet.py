"""Workers as processes that a test may kill: the real command line, without its start-up time.

Each is forked from a process that has imported everything, calls the `hpo` command with arguments
of its own and writes what it says into files of its own. A real interpreter would spend seconds of
a core on importing torch for each of hundreds of workers; `test_supervisor` has some of those.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

import cli
from tests.support.storage_kills import FORKS, Moments


IMPORTED = (
    "tests.chaos.fleet",
    "tests.chaos.network",
    "hpo.workers.command",
    "hpo.workers.loop",
    "torch._dynamo",  # which torch imports when a training begins
    "sqlalchemy.dialects.postgresql",
    "psycopg",
    "pymysql",
)
FORKS.set_forkserver_preload([*IMPORTED])
END_S = 300.0
"""How long workers may take to do what is left, and to leave."""

Event = dict[str, Any]


def work(arguments: list[str], folder: str, number: int, dies_at: int | None) -> None:
    """Be the worker of that number; at its moment number `dies_at` in the database it dies."""
    os.chdir(folder)
    for stream, ending in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{number}.{ending}", os.O_CREAT | os.O_WRONLY | os.O_APPEND), stream)
    sys.argv = ["hpo", *arguments]
    with Moments(dies_at).of(cast(sa.Engine, sa.Engine)):  # the class: all engines
        cli.main()


@dataclass
class Member:
    """A worker of a fleet."""

    number: int
    folder: Path
    process: ForkServerProcess
    was_killed: bool = False
    is_stopped: bool = False

    @property
    def pid(self) -> int:
        """Its process."""
        return cast(int, self.process.pid)

    @property
    def code(self) -> int | None:
        """Its exit code, negative where a signal ended it; None while it runs."""
        return self.process.exitcode

    @property
    def said(self) -> list[str]:
        """The lines on its stderr."""
        file = self.folder / f"{self.number}.err"
        return file.read_text().splitlines() if file.exists() else []

    def events(self, name: str | None = None) -> list[Event]:
        """What it logged, or what it logged of one kind; its last line may be half a line."""
        logged: list[Event] = [
            json.loads(line) for line in self.said if line.startswith("{") and line.endswith("}")
        ]
        return [event for event in logged if name in (None, event["event"])]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)
        self.was_killed |= number == signal.SIGKILL
        self.is_stopped = number == signal.SIGSTOP

    def end(self, within_s: float = END_S) -> int | None:
        """Wait for its end; its exit code, None where it still runs."""
        self.process.join(within_s)
        return self.code


@dataclass
class Fleet:
    """Workers of one study, of which as many as wanted run at any time.

    `dies_at` says for each new worker at which of its moments in the database it dies.
    """

    url: str
    folder: Path
    study: str | None
    flags: tuple[str, ...] = ()
    dies_at: Callable[[], int | None] = lambda: None
    members: list[Member] = field(default_factory=list)

    def start(self, n: int = 1) -> list[Member]:
        """Start so many more workers."""
        named = [] if self.study is None else ["--study", self.study]
        flags = ["--processes", "1", "--storage", self.url, "--log-format", "json", *self.flags]
        for number in range(len(self.members), len(self.members) + n):
            arguments = ["worker", *named, *flags]
            process = FORKS.Process(
                target=work, args=(arguments, str(self.folder), number, self.dies_at())
            )
            process.start()
            self.members.append(Member(number, self.folder, process))
        return self.members[-n:]

    @property
    def running(self) -> list[Member]:
        """Those that have not ended."""
        return [member for member in self.members if member.code is None]

    @property
    def awake(self) -> list[Member]:
        """Those that run and are not stopped."""
        return [member for member in self.running if not member.is_stopped]

    @property
    def is_done(self) -> bool:
        """Whether a worker has left because nothing is missing."""
        return any(member.code == 0 for member in self.members)

    def refill(self, n: int) -> int:
        """Start workers until n run; how many that took.

        Raises:
            AssertionError: a worker ended otherwise than by being killed or done.
        """
        missing = n - len(self.running)
        for member in self.members:
            assert member.code in (None, 0, -signal.SIGKILL), (member.code, member.said[-5:])
        if missing > 0 and not self.is_done:
            self.start(missing)
        return max(0, missing)

    def events(self, name: str | None = None) -> list[Event]:
        """What all have logged, by time."""
        logged = [event for member in self.members for event in member.events(name)]
        return sorted(logged, key=lambda event: event["time"])

    def let_finish(self) -> None:
        """Wait for those that still run.

        Raises:
            AssertionError: one does not end, though all is done.
        """
        for member in self.running:
            if member.is_stopped:
                member.signal(signal.SIGCONT)
        for member in self.running:
            assert member.end() is not None, member.said[-5:]

    def kill(self) -> None:
        """Kill all that still run."""
        for member in self.running:
            member.process.kill()
            member.process.join()


def ticks(every_s: float, at_most_s: float) -> Iterator[int]:
    """Numbers from 0, one each `every_s` seconds.

    Raises:
        AssertionError: `at_most_s` seconds have passed.
    """
    began = time.monotonic()
    number = 0
    while True:
        yield number
        number += 1
        assert time.monotonic() - began < at_most_s, f"not done after {at_most_s} s"
        time.sleep(max(0.0, began + number * every_s - time.monotonic()))


def moments(rng: random.Random, first: int, last: int) -> Callable[[], int | None]:
    """A death for each worker, at a moment drawn from these."""
    return partial(rng.randint, first, last)
