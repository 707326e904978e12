"""Checking that a study's records agree with each other and with the study's protocol.

A worker writes only records that agree. So they differ only if another program wrote to the
database, or if the database lost data. All rows are read as they were at one moment, so that
workers that work meanwhile cause no findings.

Every check is a function that yields one line for each contradiction. A check may fail at values
that it cannot read. The failure is a finding of its own if no other finding explains it.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from storage.audit import study, trainings, trials, work
from storage.audit.references import dangling
from storage.audit.rows import StudyRows, read, snapshot
from storage.audit.rules import Curves, Rules
from storage.engine import Database
from storage.tables import AnyRow
from storage.values import shown


__all__ = ["Curves", "Rules", "dangling", "differences"]


OF_STUDY = (
    study.wrong_numbers,
    study.wrong_budget,
    study.wrong_protocol,
    study.wrong_times,
    study.wrong_directions,
)
OF_CHOICE = (study.wrong_test_runs, study.wrong_choice)
OF_WORK = (
    trainings.wrong_folds,
    work.wrong_seed,
    work.wrong_attempts,
    work.wrong_times,
    work.wrong_outcome,
    work.wrong_epochs,
    work.wrong_trial,
    trainings.wrong_error,
    trainings.wrong_lengths,
)
OF_TRAINING = (trainings.wrong_curve, trainings.wrong_digest, trainings.wrong_details)
OF_TRIAL = (
    trials.wrong_outcome,
    trials.wrong_times,
    trials.wrong_parameters,
    trials.wrong_planned,
    trials.wrong_steps,
    trials.wrong_pruning,
)

Check = Callable[[], Iterable[str]]
"""A check with its rows; it yields one line for each contradiction."""


def differences(db: Database, study_id: int, rules: Rules) -> list[str]:
    """The contradictions in a study's records, one line each; empty if there are none.

    Raises:
        StudyMissingError: the study was deleted.
    """
    with snapshot(db) as connection:
        rows = read(connection, study_id)
    of_all_work = list(_of_all_work(rows, rules))
    if wrong_columns := list(study.wrong_columns(rows.study)):
        return [*wrong_columns, *of_all_work]
    of_study = _found("the study", [partial(check, rows, rules) for check in OF_STUDY])
    of_choice = _found("the choice", [partial(check, rows, rules) for check in OF_CHOICE])
    return [*of_study, *of_all_work, *of_choice]


def _of_all_work(rows: StudyRows, rules: Rules) -> Iterator[str]:
    for row in rows.work:
        wrong_columns = list(work.wrong_columns(row))
        yield from wrong_columns or _found(work.name_of(row), _of_work(row, rows, rules))


def _of_work(row: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[Check]:
    """The checks of a trial or test run whose columns are right."""
    if row.kind == "trial" and (trial := rows.optuna_trial.get(row.trial)) is not None:
        yield from (partial(check, row, trial, rows, rules) for check in OF_TRIAL)
    yield from (partial(check, row, rows, rules) for check in OF_WORK)
    for training in trainings.trainings_of(row, rows):
        yield partial(_of_training, training, row)


def _of_training(training: AnyRow, row: AnyRow) -> list[str]:
    wrong_columns = list(trainings.wrong_columns(training, row))
    checks = [partial(check, training, row) for check in OF_TRAINING]
    name = f"{work.name_of(row)}, fold {shown(training.fold)},"
    return wrong_columns or _found(name, checks)


def _found(what: str, checks: Iterable[Check]) -> list[str]:
    """The findings of the checks; if they find nothing, why a check could not read its rows."""
    findings: list[str] = []
    unreadable: list[str] = []
    for check in checks:
        try:
            findings.extend(check())
        except Exception as error:  # noqa: BLE001  damaged values can raise anything
            reason = shown(f"{type(error).__name__}: {error}").strip("'\"")
            unreadable.append(f"{what} cannot be read ({reason})")
    return findings or unreadable[:1]
