"""How large the studies under faults are: the full form, and a short one for every change."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Size:
    """What a scenario does; times in seconds.

    Workers are killed each second for `storm_s` at most, or until the study is complete.
    """

    n_trials: int
    n_repeats: int
    n_kills: int
    n_stops: int
    n_workers: int
    lease_s: float
    away_s: float
    storm_s: float
    storm_away_at: tuple[int, ...]
    pace_s: float
    slow_pace_s: float
    patience_s: float

    @property
    def most_late_s(self) -> float:
        """How long after its worker's end a piece of work may lie: the lease and a little."""
        return self.lease_s + 5.0


FULL = Size(
    n_trials=200,
    n_repeats=30,
    n_kills=100,
    n_stops=12,
    n_workers=8,
    lease_s=5.0,
    away_s=30.0,
    storm_s=math.inf,
    storm_away_at=(10, 20, 30),
    pace_s=0.2,
    slow_pace_s=0.55,
    patience_s=600.0,
)
SHORT = Size(
    n_trials=16,
    n_repeats=2,
    n_kills=4,
    n_stops=4,
    n_workers=6,
    lease_s=3.0,
    away_s=8.0,
    storm_s=8.0,
    storm_away_at=(3,),
    pace_s=0.1,
    slow_pace_s=0.2,
    patience_s=180.0,
)
