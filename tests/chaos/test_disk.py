"""Disks that are full, or that cannot be written to."""

import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.chaos.case import Case
from tests.chaos.faults import full, remount, small_disk
from tests.chaos.fleet import Fleet, ticks
from tests.chaos.waiting import wait_for_results
from tests.support.databases import FOLDER_VARIABLE
from tests.support.servers import PostgreSQL


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A small file system of the test's own, where servers that gave up root's rights can go."""
    home = Path(os.environ[FOLDER_VARIABLE])
    try:
        with small_disk(home / f"disk-{secrets.token_hex(6)}", request.param) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"only root can mount a small disk: {error}")


def check_refusals(fleet: Fleet, words: tuple[str, ...]) -> int:
    """Workers said why they waited, in words that name the cause; how many did.

    On SQLite one may wait in vain for the lock of another that tries again and again.
    """
    told = [event["message"] for event in fleet.events("storage_away")]
    assert any(word in message for message in told for word in words)
    assert [each for each in told if not any(word in each for word in (*words, "locked"))] == []
    return len({event["worker"] for event in fleet.events("storage_away")})


@pytest.mark.parametrize("disk", ["8m"], indirect=True)
def test_a_full_disk_is_waited_for_until_there_is_room(sqlite_case: Case, disk: Path) -> None:
    case = sqlite_case
    size = case.size
    case.study = replace(case.study, url=f"sqlite:///{disk / 'hpo.db'}")
    case.study.create(pace_s=size.slow_pace_s)
    with case.study.at_work() as fleet:
        wait_for_results(case.study, fleet, size.n_trials // 4)
        with full(disk):
            time.sleep(size.away_s)
        done = f"no room for {size.away_s:.0f} s"
        case.conclude("disk full", done, fleet)
        assert {member.code for member in fleet.members} == {0}
        assert check_refusals(fleet, ("full", "disk I/O error")) == size.n_workers
    assert case.study.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@pytest.mark.parametrize("disk", ["8m"], indirect=True)
def test_a_file_that_cannot_be_written_ends_workers(sqlite_case: Case, disk: Path) -> None:
    case, patience_s = sqlite_case, 2.0
    case.study = replace(case.study, url=f"sqlite:///{disk / 'hpo.db'}")
    case.study.create()
    remount(disk, "ro")
    with case.study.at_work(f"--storage-timeout={patience_s}") as fleet:
        assert {member.end() for member in fleet.members} == {4}
        for member in fleet.members:
            assert not any("Traceback" in line for line in member.said)
            assert "cannot write to the database" in member.said[-1]
        n = len(fleet.members)
        remount(disk, "rw")
        fleet.start(n)
        case.conclude("read-only file", f"{n} workers left with 4, {n} others did all", fleet)
    assert case.study.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]


@pytest.mark.short_on
@pytest.mark.parametrize("disk", ["160m"], indirect=True)
def test_a_server_whose_disk_is_full_is_waited_for(sqlite_case: Case, disk: Path) -> None:
    case = sqlite_case
    # A server has some room of its own; so many results do not fit into it.
    size = replace(case.size, n_trials=max(100, case.size.n_trials))
    if missing := PostgreSQL.missing():
        pytest.skip(f"PostgreSQL: install {' and '.join(missing)}")
    server = PostgreSQL(disk)
    server.initialize()
    server.start()
    try:
        url = server.url.render_as_string(hide_password=False)
        case.backend, case.study = "postgresql", replace(case.study, url=url, size=size)
        case.study.create(pace_s=size.slow_pace_s)
        with case.study.at_work() as fleet:
            wait_for_results(case.study, fleet, size.n_workers)
            with full(disk):
                for _ in ticks(0.2, size.patience_s):
                    if fleet.is_done or fleet.events("storage_away"):
                        break
                time.sleep(size.away_s)
            if not answers(case):  # a server that could not write its log has ended itself
                server.start()
            case.conclude("disk full", f"no room for {size.away_s:.0f} s", fleet)
            assert {member.code for member in fleet.members} == {0}
            assert check_refusals(fleet, ("No space left", "connect", "recovery", "terminat"))
    finally:
        server.stop()


def answers(case: Case) -> bool:
    """Whether the database answers within a few seconds."""
    for _ in range(20):
        try:
            case.study.rows("SELECT 1")
        except sa.exc.OperationalError:
            time.sleep(0.25)
        else:
            return True
    return False
