"""The audit of one piece of work: its row in `hpo_claims`."""

from collections.abc import Iterator

from storage import values
from storage.audit.rows import StudyRows
from storage.audit.rules import DAY_S, Rules, exceeds
from storage.tables import GIVEN_BACK, NO_PART, AnyRow


def name_of(work: AnyRow) -> str:
    """The piece of work in words."""
    trial = f"trial {values.shown(work.trial)}"
    if work.kind == "trial":
        return trial
    kind = "test run" if work.kind == "test" else f"work {values.shown(work.id)}"
    return f"{kind} {values.shown(work.part)} of {trial}"


def wrong_columns(work: AnyRow) -> Iterator[str]:
    """Each column of the row must hold a value that hpo writes."""
    for name, column in values.WORK.items():
        if not column.has(value := work._mapping[name]):
            yield f"{name_of(work)}: {name} is {values.shown(value)}"


def wrong_seed(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The seeds of test runs count from 0; a trial has none."""
    if work.kind == "trial" and work.part != NO_PART:
        yield f"{name_of(work)} has the seed {work.part}, but trials have none"
    elif work.kind == "test" and (work.part < 0 or exceeds(work.part + 1, rules.n_repeats)):
        yield f"{name_of(work)}: the study has no test run of that seed"


def wrong_attempts(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Each attempt has a token of its own, and their number is limited."""
    least = 1 if work.state in ("complete", "pruned") else 0
    if work.n_attempts < least or exceeds(work.n_attempts, rules.max_attempts):
        yield f"{name_of(work)} is {work.state} after {work.n_attempts} attempts"
    if work.token < work.n_attempts:
        yield f"{name_of(work)} has the token {work.token} after {work.n_attempts} attempts"


def wrong_times(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """The times must be in order, and no lease may be longer than the protocol says."""
    if work.claimed_at > rows.now + DAY_S:
        yield f"{name_of(work)} was claimed in the future"
    if work.claimed_at < rows.study.created_at - DAY_S:
        yield f"{name_of(work)} was claimed before the study was created"
    if exceeds(work.expires_at, rows.now + (rules.lease_s or DAY_S) + DAY_S):
        yield f"{name_of(work)}: the lease ends later than any lease can end now"
    if work.expires_at == GIVEN_BACK:
        if work.state in ("complete", "pruned"):
            yield f"{name_of(work)} is {work.state}, but was given back"
    elif work.expires_at < work.claimed_at - DAY_S:
        yield f"{name_of(work)}: the lease ended before the work was claimed"


def wrong_outcome(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """Work that is done has an error; work that failed has a reason; no work has both."""
    is_done = work.state in ("complete", "pruned")
    if work.kind == "test" and work.state == "pruned":
        yield f"{name_of(work)} is pruned, but test runs are never pruned"
    if is_done and work.error is None:
        yield f"{name_of(work)} is {work.state} without an error"
    if not is_done and work.error is not None:
        yield f"{name_of(work)} is {work.state}, but has the error {work.error}"
    if work.state == "failed" and not work.failure:
        yield f"{name_of(work)} failed without a reason"
    if is_done and work.failure is not None:
        yield f"{name_of(work)} is {work.state}, but has a reason of failure"
    if is_done and work.n_parameters is None:
        yield f"{name_of(work)} is {work.state} without a number of parameters"


def wrong_epochs(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """No work has more epochs than the protocol allows."""
    if exceeds(work.n_epochs, rules.n_epochs):
        yield f"{name_of(work)} has {work.n_epochs} epochs; possible are {rules.n_epochs}"


def wrong_trial(work: AnyRow, rows: StudyRows, rules: Rules) -> Iterator[str]:
    """A test run must be of the same trial and network as its trial."""
    trial = rows.complete.get(work.trial)
    if work.kind != "test" or trial is None:
        return
    for column, name in (("trial_id", "Optuna's id"), ("n_parameters", "number of parameters")):
        own, of_trial = work._mapping[column], trial._mapping[column]
        if own is not None and own != of_trial:
            yield f"{name_of(work)}: the {name} is {own}, but that of the trial is {of_trial}"
