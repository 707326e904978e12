"""A worker may be killed at any moment of its work: the study comes to its end all the same."""

import signal
from collections.abc import Iterator

import pytest

from storage import catalog
from storage.engine import Database
from tests.storage_checks import BACKENDS, check_finished, shared_database, url_of
from tests.storage_kills import PLAN, SCENES, act, act_at, run_together
from tests.storage_worker import new_study, play

N_TRIALS = 2


@pytest.fixture(scope="module", params=BACKENDS)
def db(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with shared_database(request.param, tmp_path_factory.mktemp("db")) as database:
        yield database


def prepared(db: Database, scene: str) -> int:
    study_id = new_study(db, N_TRIALS)
    SCENES[scene].before(db, study_id)
    return study_id


@pytest.mark.chaos
@pytest.mark.parametrize("scene", SCENES)
def test_a_worker_killed_at_any_moment_costs_the_study_nothing(db: Database, scene: str) -> None:
    moments = act(db, prepared(db, scene), scene)
    assert moments[-2:] == ["before COMMIT", "after COMMIT"]
    study_ids = [prepared(db, scene) for _ in moments]
    calls = [(url_of(db), study_id, scene, last) for last, study_id in enumerate(study_ids)]
    assert run_together(act_at, calls) == [-signal.SIGKILL] * len(moments)
    for study_id, moment in zip(study_ids, moments, strict=True):
        try:
            check_survival(db, study_id)
        except AssertionError as error:
            error.add_note(f"the worker was killed {moment}")
            raise


def check_survival(db: Database, study_id: int) -> None:
    left = catalog.parameters(db, study_id)
    play(db, study_id, PLAN, "survivor")
    check_finished(db, study_id, PLAN, N_TRIALS)
    kept = catalog.parameters(db, study_id)
    assert {n: kept[n] for n, first in left.items() if first} == {
        n: first for n, first in left.items() if first
    }
