"""A worker may be killed at any moment of its work: the study comes to its end all the same."""

import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from storage import studies
from storage.engine import Database
from tests.support.storage_checks import check_finished, url_of
from tests.support.storage_kills import FORKS, SCENES, Scene, die_at_every_moment
from tests.support.storage_worker import play


@pytest.fixture(scope="module")
def killer() -> Iterator[ProcessPoolExecutor]:
    """A process in which workers are born and die."""
    with ProcessPoolExecutor(1, mp_context=FORKS) as pool:
        yield pool


@pytest.mark.chaos
@pytest.mark.parametrize("name", SCENES)
def test_a_worker_killed_at_any_moment_costs_the_study_nothing(
    db: Database, killer: ProcessPoolExecutor, name: str
) -> None:
    deaths = killer.submit(die_at_every_moment, url_of(db), name).result()
    assert [death.moment for death in deaths[-2:]] == ["before COMMIT", "after COMMIT"]
    assert {death.exit_code for death in deaths} == {-signal.SIGKILL}
    for death in deaths:
        try:
            check_survival(db, death.study_id, SCENES[name])
        except AssertionError as error:
            error.add_note(f"the worker was killed {death.moment}")
            raise


def check_survival(db: Database, study_id: int, scene: Scene) -> None:
    left = {number: got for number, got in studies.parameters(db, study_id).items() if got}
    play(db, study_id, scene.plan, "survivor")
    check_finished(db, study_id, scene.plan, scene.n_trials)
    kept = studies.parameters(db, study_id)
    assert {number: kept[number] for number in left} == left
