"""The audit of one trial: Optuna's rows of it and hpo's."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from optuna.distributions import BaseDistribution, FloatDistribution, distribution_to_json

from storage import optuna_tables, values
from storage.audit.rows import StudyRows
from storage.audit.rules import DAY_S, Params, Rules, is_close
from storage.audit.trainings import has_right_folds, trainings_of
from storage.audit.work import name_of
from storage.leases import OPTUNA_STATES
from storage.tables import AnyRow


def wrong_outcome(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A trial must have the same id, state and error in both sets of tables."""
    error = work.error if work.state in ("complete", "pruned") else None
    pairs = (
        ("Optuna's id", work.trial_id, trial.trial_id),
        ("the state", OPTUNA_STATES[work.state].name, trial.state),
        ("the error", error, _value(trial, rows)),
    )
    for name, hpos, optunas in pairs:
        if hpos != optunas:
            yield f"{name_of(work)}: {name} is {hpos} in hpo's tables, {optunas} in Optuna's"


def _value(trial: AnyRow, rows: StudyRows) -> object:
    """Optuna's value of the trial; None if it has none."""
    found = rows.values.get(trial.trial_id, [])
    if not found:
        return None
    if len(found) > 1 or (found[0].objective, found[0].value_type) != (0, "FINITE"):
        return [(row.objective, row.value_type, row.value) for row in found]
    return found[0].value


def wrong_times(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Optuna's times must be in order, and a trial that has ended must have both."""
    start, end = _seconds(trial.datetime_start), _seconds(trial.datetime_complete)
    if start is None:
        yield f"{name_of(work)} has no time of its start in Optuna's tables"
    if (end is None) != (work.state == "live"):
        time = "no time" if end is None else "a time"
        yield f"{name_of(work)} is {work.state} with {time} of its end in Optuna's tables"
    if max(start or 0, end or 0) > rows.now + DAY_S:
        yield f"{name_of(work)} has a time in the future in Optuna's tables"
    if start is not None and end is not None and end < start - DAY_S:
        yield f"{name_of(work)} ended before it started in Optuna's tables"


def _seconds(time: object) -> float | None:
    """A time of Optuna's in seconds since 1970; SQLite stores text."""
    if time is None:
        return None
    parsed = time if isinstance(time, datetime) else datetime.fromisoformat(str(time))
    return parsed.replace(tzinfo=UTC).timestamp()


def wrong_parameters(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A trial must have all parameters of the search space, each within its range."""
    if (distributions := rules.distributions) is None:
        return
    found = rows.parameters.get(trial.trial_id, [])
    names = [row.param_name for row in found]
    if not names and work.state in ("live", "failed"):
        return  # no configuration was drawn
    for name in sorted(distributions.keys() - set(names)):
        yield f"{name_of(work)} lacks the parameter {name}"
    for row in found:
        what = f"{name_of(work)}: the parameter {values.shown(row.param_name)}"
        if row.param_name not in distributions:
            yield f"{what} is not in the search space"
        elif not _is_same(row.distribution_json, distributions[row.param_name]):
            yield f"{what} has another range than in the search space"
        elif not _is_in(row.param_value, distributions[row.param_name]):
            yield f"{what} has a value outside its range: {values.shown(row.param_value)}"


def _is_same(text: str, distribution: BaseDistribution) -> bool:
    expected = distribution_to_json(distribution)
    return text == expected or json.loads(text) == json.loads(expected)


def _is_in(value: float, distribution: BaseDistribution) -> bool:
    """Whether a stored value lies in the range; a float may lie a rounding error outside.

    Optuna stores a choice as its index.
    """
    if not isinstance(distribution, FloatDistribution) and value != int(value):
        return False
    return any(distribution._contains(value * (1 + part)) for part in (0, 1e-9, -1e-9))


def wrong_planned(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A trial whose parameters were planned must have them."""
    parameters = stored_parameters(trial, rows)
    planned = [json.loads(row.value_json) for row in rows.planned.get(trial.trial_id, [])]
    if work.trial < len(rules.planned):
        planned.append(rules.planned[work.trial])
    if parameters and not all(_are_same(parameters, expected) for expected in planned):
        yield f"{name_of(work)} has other parameters than were planned for it"


def _are_same(left: Params, right: Params) -> bool:
    """Whether two configurations are equal but for rounding, which differs between versions."""
    return left.keys() == right.keys() and all(
        math.isclose(value, right[name]) if isinstance(value, float) else value == right[name]
        for name, value in left.items()
    )


def stored_parameters(trial: AnyRow, rows: StudyRows) -> Params:
    """The parameters of a trial by Optuna's names."""
    return {
        row.param_name: optuna_tables.parameter_of(row)
        for row in rows.parameters.get(trial.trial_id, [])
    }


def wrong_steps(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Optuna's intermediate values must be the errors of the curves; the curves must be whole."""
    found = rows.intermediate_values.get(trial.trial_id, [])
    if any(row.intermediate_value_type != "FINITE" or row.step < 1 for row in found):
        yield f"{name_of(work)} has an intermediate value that no worker writes"
    trainings = trainings_of(work, rows)
    if not trainings or not has_right_folds(work, trainings, rules):
        return
    if rules.epochs_of is None or rules.steps_of is None:
        return
    curves = [values.parse_curve(row.curve) for row in trainings]
    epochs = rules.epochs_of(stored_parameters(trial, rows))
    if work.state == "complete" and {len(curve) for curve in curves} != {epochs}:
        yield f"{name_of(work)} is complete, but a curve has not {epochs} epochs"
    yield from _wrong_values(work, found, rules.steps_of(epochs, curves))


def wrong_pruning(work: AnyRow, trial: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A pruner stops no planned trial, and others only before the end at a step that it judges."""
    trainings = trainings_of(work, rows)
    if work.state != "pruned" or not has_right_folds(work, trainings, rules):
        return
    if work.trial < len(rules.planned):
        yield f"{name_of(work)} is pruned, but the first {len(rules.planned)} trials never are"
    if rules.epochs_of is None or rules.steps_of is None or rules.judged_of is None:
        return
    curves = [values.parse_curve(row.curve) for row in trainings]
    epochs = rules.epochs_of(stored_parameters(trial, rows))
    is_whole = rules.n_folds is not None and sum(map(len, curves)) >= rules.n_folds * epochs
    last_step = max(rules.steps_of(epochs, curves))
    if is_whole or last_step not in rules.judged_of(epochs):
        yield f"{name_of(work)} is pruned after step {last_step}, where no pruner stops it"


def _wrong_values(
    work: AnyRow, found: Sequence[AnyRow], expected: Mapping[int, float]
) -> Iterator[str]:
    recorded = {row.step: row.intermediate_value for row in found}
    if recorded.keys() != expected.keys():
        yield f"{name_of(work)} has intermediate values of other steps than its curves"
    for step in sorted(recorded.keys() & expected.keys()):
        if not is_close(recorded[step], expected[step]):
            what = f"{name_of(work)}: the intermediate value of step {step}"
            yield f"{what} is {recorded[step]}, but its curves say {expected[step]}"
