"""The trials of a study: their states, configurations, errors and reasons of failure."""

from contextlib import closing
from typing import Any

from hpo.arguments import checked
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study, open_database, open_study
from storage import studies
from storage.engine import Database
from storage.studies import WorkRow


def list_trials(db: Database, study: Study) -> list[dict[str, Any]]:
    """The started trials by number, in the form that `hpo study trials --json` prints.

    Raises:
        DamagedError: the study's records are damaged.
    """
    with damage_reported(study.name):
        return _list_trials(db, study)


def _list_trials(db: Database, study: Study) -> list[dict[str, Any]]:
    trials = [row for row in studies.work(db, study.id) if row.kind == "trial"]
    # Parameters are read second, so that a trial that has just started is listed with parameters.
    params = studies.parameters(db, study.id)
    curves: dict[int, list[studies.Curve]] = {}
    for curve in studies.curves(db, study.id):
        curves.setdefault(curve.claim_id, []).append(curve)
    space, folds = study.protocol.search_space, study.protocol.folds
    return [
        _trial(
            trial,
            space.decode(p) if (p := params.get(trial.trial)) else space.fixed,
            curves.get(trial.id, []),
            folds,
        )
        for trial in trials
    ]


def _trial_state(work: WorkRow) -> str:
    """The state of a trial in Optuna's terms.

    A trial is "waiting" if its worker gave it back unfinished and no other worker has taken it.
    """
    if work.state != "live":
        return work.state
    return "running" if work.is_held else "waiting"


def _trial(
    work: WorkRow, params: dict[str, Any], fold_curves: list[studies.Curve], folds: int
) -> dict[str, Any]:
    return {
        "number": work.trial,
        "state": _trial_state(work),
        "params": params,
        "validation_error": work.error,
        "pruned_after": _pruned_after(fold_curves, folds) if work.state == "pruned" else None,
        "fold_errors": [curve.error for curve in fold_curves],
        "n_epochs": work.n_epochs,
        "n_attempts": work.n_attempts,
        "train_s": round(sum(curve.train_s for curve in fold_curves), 3),
        "worker": work.worker,
        "failure": work.failure,
    }


def _pruned_after(fold_curves: list[studies.Curve], folds: int) -> dict[str, int | None] | None:
    """The fold, from 1, and its epoch after which a trial was pruned; None without curves.

    The fold is None if all `folds` were trained side by side.
    """
    if not fold_curves:
        return None
    fold = len(fold_curves) if len(fold_curves) < folds else None
    return {"fold": fold, "epoch": len(fold_curves[-1].curve)}


@checked
def study_trials(name: str, storage: str | None = None) -> list[dict[str, Any]]:
    """The started trials of the study with the given name, ordered by trial number.

    Raises:
        StudyMissingError: no study has that name.
    """
    with closing(open_database(storage)) as db:
        return list_trials(db, open_study(db, name))
