"""Waiting for a moment at which something can be done to workers."""

from tests.chaos.fleet import Fleet, ticks
from tests.chaos.study import Study


STARTED_S = 60.0


def wait_for_work(study: Study, fleet: Fleet) -> None:
    """Wait until every worker holds a piece of work."""
    for _ in ticks(0.05, STARTED_S):
        holders = {row["worker"].split("-")[-2] for row in study.held()}
        if {str(member.pid) for member in fleet.running} <= holders:
            return


def wait_for_results(study: Study, fleet: Fleet, n: int) -> None:
    """Wait until that many more pieces of work have an outcome.

    Raises:
        AssertionError: no worker is left that could see to that.
    """
    wanted = study.n_finished() + n
    for _ in ticks(0.1, study.size.patience_s):
        if fleet.is_done or study.n_finished() >= wanted:
            return
        assert fleet.running, [member.said[-1:] for member in fleet.members]
