"""One scenario on one database: the study, the database's server, chance, and its figures."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.chaos.checks import check
from tests.chaos.deaths import Deaths, late_s, percentile_95
from tests.chaos.figures import Figure, Figures
from tests.chaos.fleet import Fleet
from tests.chaos.sizes import Size
from tests.chaos.study import Study
from tests.support.servers import Server


BACKENDS = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mysql": "MariaDB"}


@dataclass
class Case:
    """What a scenario is given."""

    backend: str
    study: Study
    server: Server | None
    rng: random.Random
    figures: Figures
    began: float = field(default_factory=time.monotonic)

    @property
    def size(self) -> Size:
        """How large it is."""
        return self.study.size

    def deaths(self) -> Deaths:
        """A killer for its workers."""
        return Deaths(self.study)

    def conclude(
        self,
        fault: str,
        done: str,
        fleet: Fleet,
        deaths: Deaths | None = None,
        *,
        n_trials: int | None = None,
        may_fail: bool = False,
        most_late_s: float | None = None,
    ) -> None:
        """Let the workers finish, check all that must hold and note the figures.

        Work that is taken over has to be so within `most_late_s` of the end of its lease, if given.

        Raises:
            AssertionError: something does not hold.
        """
        fleet.let_finish()
        check(self.study, n_trials, may_fail=may_fail)
        late = late_s(fleet)
        if deaths is not None:
            deaths.check()
            latencies = deaths.latencies_s(fleet.events("claimed"))
            assert max(latencies, default=0.0) <= self.size.most_late_s
        else:
            latencies = late
        if most_late_s is not None:
            assert max(late, default=0.0) <= most_late_s
        self.note(fault, done, len(late), latencies)

    def note(
        self, fault: str, done: str, n_taken_over: int = 0, latencies_s: Sequence[float] = ()
    ) -> None:
        """Note the figures; `latencies_s` are how long work lay until it was taken over."""
        work = self.study.work() if self.study.exists() else []
        counts = [sum(row["kind"] == kind for row in work) for kind in ("trial", "test")]
        worst = (percentile_95([*latencies_s]), max(latencies_s)) if latencies_s else None
        self.figures.rows.append(
            Figure(
                fault=fault,
                database=BACKENDS[self.backend],
                work=f"{counts[0]} + {counts[1]}",
                done=done,
                n_taken_over=n_taken_over,
                latencies_s=worst,
                wall_s=time.monotonic() - self.began,
            )
        )
