"""All faults at once, by chance: in the full form until the study is complete."""

import signal
import time
from dataclasses import dataclass, field

from tests.chaos.case import Case
from tests.chaos.faults import Cutter, away, stand_still
from tests.chaos.fleet import Fleet, Member, moments, ticks


@dataclass
class Storm:
    """What happens each second: a worker is killed, one may be stopped, connections are cut."""

    case: Case
    fleet: Fleet
    stopped: dict[int, float] = field(default_factory=dict)
    n_stops: int = 0

    def __post_init__(self) -> None:
        self.deaths = self.case.deaths()
        self.cutter = Cutter(self.case.study, self.case.rng)

    def strike(self, second: int) -> None:
        """Do what belongs to that second."""
        rng, size = self.case.rng, self.case.size
        self.wake()
        if self.fleet.awake:
            self.deaths.kill(rng.choice(self.fleet.awake))
        if rng.random() < 0.3 and len(self.stopped) < 2 and self.fleet.awake:
            self.stop(rng.choice(self.fleet.awake))
        if self.case.server is not None:
            self.cutter.cut()
        if second in self.case.size.storm_away_at:
            with away(self.case.study, self.case.server):
                time.sleep(rng.uniform(0.0, size.lease_s))

    def stop(self, member: Member) -> None:
        """Let a worker stand still for longer than its lease."""
        stand_still(self.case.study, member)
        self.n_stops += 1
        self.stopped[member.number] = time.monotonic() + 1.5 * self.case.size.lease_s

    def wake(self) -> None:
        """Let those go on that have stood still for long enough."""
        for number, until in [*self.stopped.items()]:
            if time.monotonic() > until:
                del self.stopped[number]
                if self.fleet.members[number].code is None:
                    self.fleet.members[number].signal(signal.SIGCONT)


def test_all_faults_together_cost_nothing(case: Case) -> None:
    size = case.size
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work(n=0) as fleet:
        fleet.dies_at = moments(case.rng, 100, 2000)
        fleet.start(size.n_workers)
        storm = Storm(case, fleet)
        for second in ticks(1.0, size.patience_s):
            if fleet.is_done:
                break
            if second < size.storm_s:
                storm.strike(second)
            else:
                storm.wake()
                fleet.dies_at = lambda: None
            fleet.refill(size.n_workers)
        assert storm.deaths.n >= size.n_kills // 2
        n_self = sum(m.code == -signal.SIGKILL and not m.was_killed for m in fleet.members)
        done = (
            f"{storm.deaths.n} killed, {n_self} died at a statement, {storm.n_stops} stopped, "
            f"{storm.cutter.n} connections cut, database away {len(size.storm_away_at)} times"
        )
        case.conclude("all together", done, fleet)
        storm.deaths.check()
