"""The audit of the trainings of one piece of work: folds, curves, errors, digests."""

import json
import math
from collections.abc import Iterator, Sequence

from storage import digests, values
from storage.audit.rows import StudyRows
from storage.audit.rules import DAY_S, Rules, exceeds, is_close
from storage.audit.work import name_of
from storage.tables import AnyRow


def trainings_of(work: AnyRow, rows: StudyRows) -> list[AnyRow]:
    """The trainings of the work, by fold."""
    return sorted(rows.trainings.get(work.id, []), key=lambda row: str(row.fold).zfill(10))


def wrong_folds(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Each fold of finished work must be recorded once, by the last worker that held the work."""
    trainings = trainings_of(work, rows)
    if not has_right_folds(work, trainings, rules):
        folds = ", ".join(values.shown(training.fold) for training in trainings[:20])
        more = ", ..." if len(trainings) > 20 else ""
        yield f"{name_of(work)} is {work.state} with trainings of the folds [{folds}{more}]"
    if any((row.token, row.worker) != (work.token, work.worker) for row in trainings):
        yield f"{name_of(work)} has trainings by another worker than the last that held it"


def has_right_folds(work: AnyRow, trainings: Sequence[AnyRow], rules: Rules) -> bool:
    """Whether the folds are recorded that work in this state has."""
    folds, n = [training.fold for training in trainings], len(trainings)
    n_folds = rules.n_folds if work.kind == "trial" else 1
    if work.state not in ("complete", "pruned"):
        return n == 0
    if n == 0 or folds != list(range(n)) or exceeds(n, n_folds):
        return False
    # A pruned trial may have been stopped before its last folds began.
    return work.state == "pruned" or n_folds in (None, n)


def wrong_columns(training: AnyRow, work: AnyRow) -> Iterator[str]:
    """Each column of the row must hold a value that hpo writes."""
    for name, column in values.TRAINING.items():
        if not column.has(value := training._mapping[name]):
            yield f"{_name(training, work)}: {name} is {values.shown(value)}"


def wrong_curve(training: AnyRow, work: AnyRow) -> Iterator[str]:
    """The curve must be a list of errors that ends with the error."""
    try:
        curve = values.parse_curve(training.curve)
    except ValueError as error:
        yield f"{_name(training, work)}: {error}"
        return
    if not is_close(curve[-1], training.error):
        yield (
            f"{_name(training, work)}: the error is {training.error}, but the curve ends with "
            f"{curve[-1]}"
        )


def wrong_digest(training: AnyRow, work: AnyRow) -> Iterator[str]:
    """The training must have the digest that it had when it was recorded."""
    if training.digest is None or type(work.created_at) not in (int, float):
        return
    if training.digest != digests.of_training(work, training.fold, training.curve, training.error):
        yield f"{_name(training, work)} differs from its digest: one of them was changed"


def wrong_details(training: AnyRow, work: AnyRow) -> Iterator[str]:
    """The versions must be a map; no training takes longer than its work was held."""
    if not isinstance(json.loads(training.versions), dict):
        yield f"{_name(training, work)}: versions is {values.shown(training.versions)}"
    if training.train_s > work.expires_at - work.claimed_at + DAY_S:
        yield f"{_name(training, work)} took {training.train_s} s, longer than the work was held"


def wrong_error(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The error of work must be the mean over its trainings."""
    trainings = trainings_of(work, rows)
    if work.error is None or not has_right_folds(work, trainings, rules) or not trainings:
        return
    mean = math.fsum(row.error / len(trainings) for row in trainings)
    if not is_close(work.error, mean):
        yield f"{name_of(work)}: the error is {work.error}, but that of its trainings is {mean}"


def wrong_lengths(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The number of epochs of work must be that of its curves."""
    trainings = trainings_of(work, rows)
    if not has_right_folds(work, trainings, rules) or not trainings:
        return
    lengths = [len(values.parse_curve(row.curve)) for row in trainings]
    n_folds = rules.n_folds if work.kind == "trial" else 1
    if n_folds is not None and sum(lengths) // n_folds != work.n_epochs:
        yield f"{name_of(work)} has {work.n_epochs} epochs, but curves of {_listed(lengths)}"
    if exceeds(max(lengths), rules.n_epochs):
        yield f"{name_of(work)} has curves of {max(lengths)} epochs; possible: {rules.n_epochs}"


def _listed(lengths: Sequence[int]) -> str:
    return ", ".join(map(str, lengths[:20])) + (", ..." if len(lengths) > 20 else "")


def _name(training: AnyRow, work: AnyRow) -> str:
    return f"{name_of(work)}, fold {values.shown(training.fold)}"
