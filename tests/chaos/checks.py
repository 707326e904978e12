"""What must hold of a study that has come to its end, asked of both sets of tables by SQL."""

import json
from collections import Counter
from contextlib import closing

from hpo.operations.audit import problems
from storage import studies
from storage.engine import Database
from tests.chaos.network import error_of
from tests.chaos.study import FOLDS, NAME, Row, Study


STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def check(study: Study, n_trials: int | None = None, *, may_fail: bool = False) -> None:
    """Check a study that is over, with the budget that it was created with unless one is given.

    Raises:
        AssertionError: work was lost, done twice or left running, a result is not its worker's or
            not its configuration's, or the two sets of tables differ.
    """
    n_trials = study.size.n_trials if n_trials is None else n_trials
    (row,) = study.rows("SELECT * FROM hpo_studies WHERE study_id = :study")
    assert row["n_trials"] == row["n_started"] == n_trials
    work = study.work()
    assert Counter(each["state"] for each in work)["live"] == 0, "left running"
    trials = [each for each in work if each["kind"] == "trial"]
    assert [each["trial"] for each in trials] == list(range(n_trials))
    if not may_fail:
        assert [each for each in trials if each["state"] == "failed"] == []
    check_optuna(study, trials)
    check_test_runs(study, work, row["choice"])
    check_results(study, work)
    with closing(Database(study.url)) as db:  # what users can ask themselves
        assert problems(db, studies.get(db, NAME)) == []


def check_optuna(study: Study, trials: list[Row]) -> None:
    """Optuna's tables have the same trials in the same states with the same errors."""
    query = (
        "SELECT trials.trial_id AS trial_id, number, state, value FROM trials LEFT JOIN "
        "trial_values USING (trial_id) WHERE study_id = :study ORDER BY number"
    )
    theirs = [
        (row["trial_id"], row["number"], row["state"], row["value"]) for row in study.rows(query)
    ]
    ours = [(row["trial_id"], row["trial"], STATES[row["state"]], row["error"]) for row in trials]
    assert theirs == ours


def check_test_runs(study: Study, work: list[Row], choice: int | None) -> None:
    """Each seed was measured once, on the best of the complete trials."""
    complete = [row for row in work if row["kind"] == "trial" and row["state"] == "complete"]
    best = min(complete, key=lambda row: (row["error"], row["trial"]))["trial"]
    assert choice == best
    runs = [(row["trial"], row["part"], row["state"]) for row in work if row["kind"] == "test"]
    assert runs == [(best, seed, "complete") for seed in range(study.size.n_repeats)]


def check_results(study: Study, work: list[Row]) -> None:
    """Every result is of its own configuration, and of the worker that recorded it alone."""
    x_of, reports, rungs = study.parameters(), reports_of(study), rungs_of(study)
    recorded = study.rows(
        "SELECT hpo_trainings.* FROM hpo_trainings JOIN hpo_claims ON hpo_claims.id = claim_id "
        "WHERE study_id = :study"
    )
    trainings: dict[int, list[Row]] = {row["id"]: [] for row in work}
    for row in recorded:
        trainings[row["claim_id"]].append(row)
    for row in work:
        found = trainings[row["id"]]
        if row["state"] == "failed":
            assert row["failure"]
            assert found == []
            continue
        error = error_of(x_of[row["trial"]], int(row["worker"].split("-")[-2]))
        assert row["error"] == error
        n_folds = FOLDS if row["kind"] == "trial" else 1
        assert sorted(each["fold"] for each in found) == list(range(n_folds))
        assert {each["error"] for each in found} == {error}
        finishers = {(each["token"], each["worker"]) for each in found}
        assert finishers == {(row["token"], row["worker"])}
        if row["kind"] == "trial":
            epochs = range(1, row["n_epochs"] + 1)
            assert reports.get(row["trial_id"], {}) == dict.fromkeys(epochs, error)
            assert rungs.get(row["trial_id"], {error}) == {error}


def reports_of(study: Study) -> dict[int, dict[int, float]]:
    """What Optuna was told after each epoch, by trial."""
    query = (
        "SELECT trial_id, step, intermediate_value FROM trial_intermediate_values "
        "JOIN trials USING (trial_id) WHERE study_id = :study"
    )
    found: dict[int, dict[int, float]] = {}
    for row in study.rows(query):
        found.setdefault(row["trial_id"], {})[row["step"]] = row["intermediate_value"]
    return found


def rungs_of(study: Study) -> dict[int, set[float]]:
    """The errors that the pruner noted where it judged a trial, by trial."""
    query = (
        "SELECT trial_id, value_json FROM trial_system_attributes JOIN trials USING (trial_id) "
        "WHERE study_id = :study AND trial_system_attributes.key LIKE 'completed_rung_%'"
    )
    found: dict[int, set[float]] = {}
    for row in study.rows(query):
        found.setdefault(row["trial_id"], set()).add(json.loads(row["value_json"]))
    return found
