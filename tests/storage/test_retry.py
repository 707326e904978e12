"""When an outage begins and ends, as the process that meets it tells."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from storage import retry
from storage.errors import UnreachableError
from storage.retry import Outages


@dataclass
class Clock:
    """Time that passes when a test says so."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of outages."""
    clock = Clock()
    monkeypatch.setattr(retry, "time", clock)
    return clock


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is said of the database."""
    caplog.set_level(logging.WARNING, "hpo.storage")
    return caplog


def refuse() -> None:
    """What a database that is away does.

    Raises:
        UnreachableError: always.
    """
    try:
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("away"))
    except sa.exc.OperationalError as error:
        raise UnreachableError("the database is away") from error


def meet(outages: Outages, clock: Clock, n_refusals: int, pause_s: float = 0.6) -> None:
    """Ask so often in vain, then get an answer."""
    left = [n_refusals]

    def ask() -> None:
        left[0] -= 1
        if left[0] >= 0:
            refuse()

    outages.wait_out(ask, timeout_s=60, wait=lambda seconds: clock.wait(pause_s))


def events(told: pytest.LogCaptureFixture) -> list[str]:
    return [record.__dict__["event"] for record in told.records]


def test_an_outage_is_told_when_it_begins_and_when_it_ends(
    told: pytest.LogCaptureFixture, clock: Clock
) -> None:
    outages = Outages()
    meet(outages, clock, 4)
    assert events(told) == ["storage_away", "storage_back"]
    meet(outages, clock, 4)
    assert events(told) == ["storage_away", "storage_back"] * 2


def test_a_refusal_that_passes_at_once_is_not_told(
    told: pytest.LogCaptureFixture, clock: Clock
) -> None:
    meet(Outages(), clock, 3, pause_s=0.01)
    assert events(told) == []


def test_a_refusal_before_the_last_answer_begins_no_outage(
    told: pytest.LogCaptureFixture, clock: Clock
) -> None:
    outages = Outages()
    asked_at = clock.monotonic() - 5
    outages.answered()
    outages.refused(UnreachableError("late"), asked_at)
    outages.answered()
    assert events(told) == []


def test_an_outage_of_one_thread_is_told_beside_others(
    told: pytest.LogCaptureFixture, clock: Clock
) -> None:
    """As heartbeats may be where the disk is full: they need no room."""
    outages, left = Outages(), [4]

    def ask() -> None:
        left[0] -= 1
        if left[0] >= 0:
            refuse()

    with ThreadPoolExecutor(1) as heart:

        def wait(seconds: float) -> None:
            clock.wait(0.6)
            heart.submit(outages.answered).result()

        outages.wait_out(ask, timeout_s=60, wait=wait)
    assert events(told) == ["storage_away", "storage_back"]


def asked_through_an_outage(outages: Outages, clock: Clock, lease_s: float) -> bool:
    """What one that asks for two seconds and more in vain hears of leases with its answer."""
    left, heard = [3], list[bool]()

    def ask() -> None:
        left[0] -= 1
        if left[0] >= 0:
            refuse()
        heard.append(outages.leases_are_trusted(lease_s))

    outages.wait_out(ask, timeout_s=60, wait=lambda seconds: clock.wait(0.7))
    (found,) = heard
    return found


def test_others_get_time_to_renew_leases_after_an_outage(clock: Clock) -> None:
    outages = Outages()
    assert outages.leases_are_trusted(lease_s=3.0)
    assert not asked_through_an_outage(outages, clock, lease_s=3.0), "with the first answer itself"
    meet(outages, clock, 1, pause_s=0.1)  # the long one before it stays long
    assert not outages.leases_are_trusted(lease_s=3.0)
    assert outages.leases_are_trusted(lease_s=60.0), "no lease can have run out"
    clock.wait(1.1)
    assert outages.leases_are_trusted(lease_s=3.0)


def test_who_has_not_asked_for_long_knows_of_no_outage(clock: Clock) -> None:
    outages = Outages()
    outages.answered()
    clock.wait(2.1)
    assert not outages.leases_are_trusted(lease_s=1.5)
    outages.answered()
    assert not outages.leases_are_trusted(lease_s=1.5)
    clock.wait(0.6)
    assert outages.leases_are_trusted(lease_s=1.5)


def test_short_leases_run_out_for_workers_that_ask_often(clock: Clock) -> None:
    outages = Outages()
    for _ in range(3):
        outages.answered()
        clock.wait(0.3)
    assert outages.leases_are_trusted(lease_s=0.2)


def test_the_waiting_ends_by_what_is_raised_in_it() -> None:
    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Outages().wait_out(refuse, timeout_s=60, wait=stop)
