"""Create studies with many finished trials, for hpo and for plain Optuna, in batches of rows."""

import datetime
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.storages._rdb import models as optuna_tables
from optuna.trial import TrialState

from benchmarks.noop_trials import FOLDS, error_of
from hpo import machine
from hpo.protocol import Protocol
from storage import studies
from storage.engine import Database
from storage.tables import NO_PART, clock, hpo_claims, hpo_studies, hpo_trainings


_TRIALS: sa.Table = optuna_tables.TrialModel.__table__
_PARAMETERS: sa.Table = optuna_tables.TrialParamModel.__table__
_VALUES: sa.Table = optuna_tables.TrialValueModel.__table__
_REPORTS: sa.Table = optuna_tables.TrialIntermediateValueModel.__table__
_NOTES: sa.Table = optuna_tables.TrialSystemAttributeModel.__table__


def create_ours(db: Database, name: str, protocol: Protocol, n_finished: int, n_more: int) -> int:
    """Create a study of hpo with finished trials and a budget for `n_more`; return its id."""
    text = protocol.model_dump_json()
    study_id = studies.add(db, name, text, n_finished + n_more)
    with db.engine.begin() as connection:
        errors = _write_trials(connection, study_id, protocol, n_finished)
        _write_claims(connection, study_id, errors)
        started = sa.update(hpo_studies).where(hpo_studies.c.study_id == study_id)
        connection.execute(started.values(n_started=n_finished))
    return study_id


def create_plain(db: Database, name: str, protocol: Protocol, n_finished: int) -> int:
    """Create the same study in plain Optuna, with known configurations enqueued; return its id."""
    study = optuna.create_study(study_name=name, storage=db.optuna)
    with db.engine.begin() as connection:
        _write_trials(connection, study._study_id, protocol, n_finished)
    for params in protocol.known:
        study.enqueue_trial(params)
    return study._study_id


Errors = dict[int, tuple[int, float]]
"""Id and error of each trial, by the trial's number."""


def _write_trials(
    connection: sa.Connection, study_id: int, protocol: Protocol, n_trials: int
) -> Errors:
    now = datetime.datetime.now()  # noqa: DTZ005  as Optuna does
    moments = {"datetime_start": now, "datetime_complete": now}
    row = {"study_id": study_id, "state": TrialState.COMPLETE, **moments}
    _insert(connection, _TRIALS, [{**row, "number": number} for number in range(n_trials)])
    query = sa.select(_TRIALS.c.number, _TRIALS.c.trial_id).where(_TRIALS.c.study_id == study_id)
    ids = {row.number: row.trial_id for row in connection.execute(query)}
    drawn = {ids[number]: params for number, params in enumerate(_draw(protocol, n_trials))}
    _write_parameters(connection, protocol, drawn)
    errors = {trial_id: error_of(params) for trial_id, params in drawn.items()}
    _write_errors(connection, errors)
    return {number: (trial_id, errors[trial_id]) for number, trial_id in ids.items()}


def _insert(connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)


def _draw(protocol: Protocol, n_trials: int) -> list[dict[str, Any]]:
    sampler = optuna.samplers.RandomSampler(seed=0)
    study, trial = optuna.create_study(), optuna.trial.create_trial(value=0.0)
    distributions = protocol.search_space.distributions().items()
    return [
        {
            name: sampler.sample_independent(study, trial, name, distribution)
            for name, distribution in distributions
        }
        for _ in range(n_trials)
    ]


def _write_parameters(
    connection: sa.Connection, protocol: Protocol, drawn: dict[int, dict[str, Any]]
) -> None:
    for name, distribution in protocol.search_space.distributions().items():
        json = optuna.distributions.distribution_to_json(distribution)
        row = {"param_name": name, "distribution_json": json}
        internal = {id_: distribution.to_internal_repr(drawn[id_][name]) for id_ in drawn}
        rows = [{**row, "trial_id": id_, "param_value": value} for id_, value in internal.items()]
        _insert(connection, _PARAMETERS, rows)


def _write_errors(connection: sa.Connection, errors: dict[int, float]) -> None:
    """Write the errors as values, as reports after the first epoch, and as notes of a pruner."""
    for id_type, table, row, column in (
        (float, _VALUES, {"objective": 0, "value_type": "FINITE"}, "value"),
        (float, _REPORTS, {"step": 1, "intermediate_value_type": "FINITE"}, "intermediate_value"),
        (repr, _NOTES, {"key": "completed_rung_0"}, "value_json"),
    ):
        rows = [{**row, "trial_id": id_, column: id_type(e)} for id_, e in errors.items()]
        _insert(connection, table, rows)


def _write_claims(connection: sa.Connection, study_id: int, errors: Errors) -> None:
    now = connection.execute(sa.select(clock())).scalar_one()
    work = {"study_id": study_id, "kind": "trial", "part": NO_PART, "state": "complete"}
    held = {"token": 1, "n_attempts": 1, "worker": "filled", "claimed_at": now, "expires_at": now}
    rows = [
        {**work, **held, "trial": number, "trial_id": trial_id, "error": error, "n_epochs": 1}
        for number, (trial_id, error) in errors.items()
    ]
    _insert(connection, hpo_claims, rows)
    row = {"curve": "[0.5]", "train_s": 0.0, "token": 1, "worker": "filled"}
    row["versions"] = machine.versions_json()
    literals = [sa.literal(value).label(name) for name, value in row.items()]
    for fold in range(FOLDS):
        of_fold = sa.select(hpo_claims.c.id, sa.literal(fold), hpo_claims.c.error, *literals)
        query = of_fold.where(hpo_claims.c.study_id == study_id)
        names = ["claim_id", "fold", "error", *row]
        connection.execute(sa.insert(hpo_trainings).from_select(names, query))


@dataclass(frozen=True)
class TrialCounts:
    """How many of a study's trials are finished, and how many are not."""

    n_finished: int
    n_unfinished: int


def count_trials(db: Database, study_id: int) -> TrialCounts:
    """Count a study's trials in Optuna's tables."""
    is_finished = _TRIALS.c.state.in_([TrialState.COMPLETE, TrialState.PRUNED])
    query = sa.select(is_finished, sa.func.count()).where(_TRIALS.c.study_id == study_id)
    with db.reading() as connection:
        counts = {
            bool(finished): n for finished, n in connection.execute(query.group_by(is_finished))
        }
    return TrialCounts(counts.get(True, 0), counts.get(False, 0))
