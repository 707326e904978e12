"""What workers held when a test killed them, and when it was taken up again."""

import signal
import statistics
import time
from dataclasses import dataclass, field
from datetime import datetime

from tests.chaos.fleet import Event, Fleet, Member
from tests.chaos.study import Piece, Row, Study, piece


@dataclass(frozen=True)
class Held:
    """A piece of work in the hands of a worker that was killed; times in seconds since 1970."""

    piece: Piece
    x: float | None
    since: float
    until: float


@dataclass
class Deaths:
    """The kills of a scenario."""

    study: Study
    n: int = 0
    held: list[Held] = field(default_factory=list)

    def kill(self, member: Member) -> None:
        """Kill a worker and note what it held."""
        member.signal(signal.SIGKILL)
        member.end()
        self.n += 1
        self.note(member.pid, time.time())

    def note(self, pid: int, died_at: float) -> None:
        """Note what a dead worker held, with its configuration where it had one by then."""
        x_of = self.study.parameters()
        for row in self.study.held(pid):
            x = x_of.get(row["trial"])
            self.held.append(Held(piece(row), x, row["claimed_at"], died_at))

    def check(self) -> None:
        """Every configuration that a killed worker held has a result, under its own number.

        Raises:
            AssertionError: it has not, or another configuration has.
        """
        x_of = self.study.parameters()
        ended = {piece(row) for row in self.study.work() if row["state"] != "live"}
        for held in self.held:
            assert held.piece in ended, held
            assert held.x is None or x_of[held.piece[1]] == held.x, held

    def latencies_s(self, events: list[Event]) -> list[float]:
        """How long after each worker's death another had its work, in seconds.

        `events` are all claims; a worker that was killed before it could tell of one held it.
        """
        claimed = [(held.piece, held.since) for held in self.held]
        claimed += [(piece(event), seconds_of(event)) for event in events]
        return [
            min(at for which, at in claimed if which == held.piece and at > held.until) - held.until
            for held in self.held
        ]


def seconds_of(event: Event) -> float:
    """When an event was, in seconds since 1970."""
    return datetime.fromisoformat(event["time"]).timestamp()


def late_s(fleet: Fleet) -> list[float]:
    """How long after the end of its lease each piece of work was taken over, in seconds."""
    return [event["late_s"] for event in fleet.events("claimed") if event["late_s"] is not None]


def percentile_95(values: list[float]) -> float:
    """The value that 95 % do not exceed; of a single one, this one."""
    if len(values) < 2:
        return values[0]
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def lost_work(before: list[Row], after: list[Row]) -> list[Row]:
    """Rows of ended work that were changed afterwards."""
    now = {row["id"]: row for row in after}
    return [row for row in before if row["state"] != "live" and now.get(row["id"]) != row]
