"""A copy that is killed at any moment leaves nothing in the target."""

import signal
from pathlib import Path

import pytest

from storage import copying
from storage.engine import Database
from tests.storage.test_copying import contents, copy, recorded, silence, worked_on
from tests.support.storage_checks import url_of
from tests.support.storage_kills import Moments, run_together


def put_and_die(source_url: str, target_url: str, last: int) -> None:
    """Copy the study up to the moment number `last` at the target."""
    taken = copying.take(Database(source_url), "study")
    target = Database(target_url)
    with Moments(last).of(target.engine):
        copying.put(target, f"copy {last}", taken, silence)


@pytest.mark.short_on("sqlite")
@pytest.mark.chaos
def test_a_copy_killed_at_any_moment_leaves_nothing(database_url: str, tmp_path: Path) -> None:
    source = Database(f"sqlite:///{tmp_path / 'source.db'}", create=True)
    target = Database(database_url, create=True)
    worked_on(source)
    moments = Moments()
    with moments.of(target.engine):
        copy(source, target, new="measured")
    end = moments.passed.index("before COMMIT")
    before = contents(target)
    source_url = url_of(source)
    calls = [(source_url, database_url, last) for last in range(0, end + 1, 3)]
    assert run_together(put_and_die, [*calls, (source_url, database_url, end)]) == [
        -signal.SIGKILL
    ] * (len(calls) + 1)
    assert contents(target) == before
    copy(source, target, new="copy 0")
    assert recorded(target, "copy 0") == recorded(source, "study")
    for db in (source, target):
        db.close()
