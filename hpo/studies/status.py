"""How a study stands: its state, its best configuration, who works on what.

A study's state is derived from what is recorded, never stored.
"""

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hpo import events
from hpo.errors import HpoError
from hpo.search.boundary_check import CrowdedEdge, crowded_edges
from hpo.statistics import Summary, mean, summarize
from hpo.studies.lifecycle import Study, every, open_database, open_study
from storage import studies
from storage.engine import Database
from storage.errors import EmptyStorageError
from storage.studies import WorkRow


StudyState = Literal["searching", "confirming", "testing", "complete"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many trials of the budget are in which state."""

    target: int
    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def finished(self) -> int:
        """Those that have an outcome."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True, kw_only=True)
class Best:
    """The chosen trial, or the best so far; errors are fractions."""

    trial: int
    params: dict[str, Any]
    n_parameters: int | None
    validation_error: float
    test_error: Summary | None


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """What one worker does since when; silent where its lease has run out."""

    name: str
    doing: str
    since_s: float
    n_epochs: int
    is_silent: bool


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much training is done, and about how much is left, in fold-epochs.

    What is left goes by the mean number of epochs of the trials so far, pruned ones among them.
    """

    done: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """A study as it stands; while it is `paused`, none of its work is given out.

    `edges` are looked for only by `show_study` and `list_studies`, for those who may widen a range:
    a worker asks after every claim and has no use for them.
    """

    name: str
    architecture: str
    dataset: str
    state: StudyState
    paused: bool
    trials: Counts
    best: Best | None
    effort: Effort
    workers: list[WorkerStatus] = field(default_factory=list)
    edges: list[CrowdedEdge] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing any more."""
        return self.state == "complete"

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `hpo study show --json` prints them."""
        return asdict(self)


def show(db: Database, study: Study) -> Status:
    """How the study stands now.

    Raises:
        StudyMissingError: it was deleted.
    """
    row = studies.get(db, study.name)
    work = studies.work(db, study.id)
    counts = _counts(work, row.n_trials)
    best = _best(db, study, work, row.choice)
    return Status(
        name=study.name,
        architecture=study.protocol.architecture,
        dataset=study.protocol.dataset,
        state=_state(counts, work, row.choice, study.protocol.repeats),
        paused=row.is_paused,
        trials=counts,
        best=best,
        effort=_effort(work, study, counts, best),
        workers=[_worker(each) for each in work if each.is_held],
    )


def _show_with_edges(db: Database, study: Study) -> Status:
    return replace(show(db, study), edges=_edges(db, study))


def _edges(db: Database, study: Study) -> list[CrowdedEdge]:
    """Where the best trials crowd, but for the first ones, which no sampler drew."""
    space, n_first = study.protocol.search_space, len(study.protocol.first)
    drawn = [
        work
        for work in studies.work(db, study.id)
        if work.kind == "trial" and work.state in ("complete", "pruned") and work.trial >= n_first
    ]
    params = studies.parameters(db, study.id)
    return crowded_edges(
        space,
        [
            (
                space.decode(params[w.trial]),
                recorded_error(w) if w.state == "complete" else math.inf,
            )
            for w in drawn
        ],
    )


def _counts(work: Sequence[WorkRow], target: int) -> Counts:
    trials = [each for each in work if each.kind == "trial"]
    states = Counter(each.state for each in trials)
    return Counts(
        target=target,
        complete=states["complete"],
        pruned=states["pruned"],
        failed=states["failed"],
        running=sum(each.is_held for each in trials),
    )


def _state(counts: Counts, work: Sequence[WorkRow], choice: int | None, repeats: int) -> StudyState:
    if counts.finished < counts.target:
        return "searching"
    if counts.complete == 0:
        return "complete"
    tested = [w for w in work if w.kind == "test" and w.trial == choice and w.state != "live"]
    return "complete" if choice is not None and len(tested) >= repeats else "testing"


def _effort(work: Sequence[WorkRow], study: Study, counts: Counts, best: Best | None) -> Effort:
    folds, epochs = study.protocol.folds, study.protocol.epochs
    trials = [w for w in work if w.kind == "trial"]
    ended = [w.n_epochs for w in trials if w.state != "live"]
    left = folds * _left(trials, counts.target, mean(ended) if ended else epochs)
    if best is not None or counts.finished < counts.target:
        tests = [w for w in work if best and w.kind == "test" and w.trial == best.trial]
        per_test = best.params.get("epochs", epochs) if best else epochs
        left += _left(tests, study.protocol.repeats, per_test)
    done = sum(w.n_epochs * (1 if w.kind == "test" else folds) for w in work)
    return Effort(done=done, left=round(left))


def _left(pieces: Sequence[WorkRow], wanted: int, epochs: float) -> float:
    """The epochs of pieces without an outcome, less those that workers have done of theirs."""
    missing = wanted - sum(each.state != "live" for each in pieces)
    return max(0.0, missing * epochs - sum(each.n_epochs for each in pieces if each.is_held))


def _best(db: Database, study: Study, work: Sequence[WorkRow], choice: int | None) -> Best | None:
    """The chosen trial; before the choice, the one that would be chosen now."""
    done = [w for w in work if w.kind == "trial" and w.state == "complete"]
    if not done:
        return None
    best = min(done, key=lambda w: (w.trial != choice, w.error, w.trial))
    params = studies.parameters(db, study.id)[best.trial]
    return Best(
        trial=best.trial,
        params=study.protocol.search_space.decode(params),
        n_parameters=best.n_parameters,
        validation_error=recorded_error(best),
        test_error=summarize([recorded_error(w) for w in test_runs(work, best.trial)]),
    )


def test_runs(work: Sequence[WorkRow], trial: int) -> list[WorkRow]:
    """A trial's finished test runs, by seed."""
    tested = [w for w in work if w.kind == "test" and w.trial == trial and w.state == "complete"]
    return sorted(tested, key=lambda w: w.seed)


def recorded_error(work: WorkRow) -> float:
    """The error of finished work.

    Raises:
        ValueError: it has none, which only failed work may.
    """
    if work.error is None:
        raise ValueError(f"{work.kind} {work.trial} is {work.state} without an error")
    return work.error


def _worker(work: WorkRow) -> WorkerStatus:
    what = f"trial {work.trial}" if work.kind == "trial" else f"test run {work.seed}"
    return WorkerStatus(
        name=work.worker,
        doing=what,
        since_s=round(work.since_s, 3),
        n_epochs=work.n_epochs,
        is_silent=work.is_silent,
    )


def list_trials(db: Database, study: Study) -> list[dict[str, Any]]:
    """Every trial that was started, by number, as `hpo study trials --json` prints them."""
    trials = [each for each in studies.work(db, study.id) if each.kind == "trial"]
    params = studies.parameters(db, study.id)  # read last: a trial of the list may be brand-new
    curves: dict[int, list[studies.Curve]] = {}
    for curve in studies.curves(db, study.id):
        curves.setdefault(curve.claim_id, []).append(curve)
    space = study.protocol.search_space
    return [
        _trial(each, space.decode(p) if (p := params.get(each.trial)) else space.fixed, curves)
        for each in trials
    ]


def _trial_state(work: WorkRow) -> str:
    """Optuna's words: a trial that was given back waits for its next worker."""
    if work.state != "live":
        return work.state
    return "running" if work.is_held else "waiting"


def _trial(
    work: WorkRow, params: dict[str, Any], curves: dict[int, list[studies.Curve]]
) -> dict[str, Any]:
    own = curves.get(work.id, [])
    return {
        "number": work.trial,
        "state": _trial_state(work),
        "params": params,
        "validation_error": work.error,
        "fold_errors": [curve.error for curve in own],
        "n_epochs": work.n_epochs,
        "n_attempts": work.n_attempts,
        "train_s": round(sum(curve.train_s for curve in own), 3),
        "worker": work.worker,
        "failure": work.failure,
    }


def list_studies(storage: str | None = None) -> list[Status]:
    """How every study of a database stands; none where there is no database yet.

    Of a study that cannot be read, stderr says so.

    Raises:
        StorageError: the database cannot be used.
    """
    try:
        with closing(open_database(storage)) as db, events.heard(events.printer("text")):
            readable, unreadable = every(db)
            for each in unreadable:
                events.warn("study_left_out", f"study {each.name} is left out: {each.error}")
            return [_show_with_edges(db, study) for study in readable]
    except EmptyStorageError:
        return []


def show_study(name: str, storage: str | None = None) -> Status:
    """How a study stands now.

    Raises:
        StudyMissingError: there is no such study.
    """
    with closing(open_database(storage)) as db:
        return _show_with_edges(db, open_study(db, name))


def study_trials(name: str, storage: str | None = None) -> list[dict[str, Any]]:
    """Every trial of a study that was started, by number.

    Raises:
        StudyMissingError: there is no such study.
    """
    with closing(open_database(storage)) as db:
        return list_trials(db, open_study(db, name))


def check_has_result(status: Status) -> None:
    """Check that a complete study has a result.

    Raises:
        HpoError: every trial of the study failed.
    """
    if status.is_complete and status.best is None:
        raise HpoError(
            f"no trial of study {status.name!r} is complete: {status.trials.failed} failed; "
            f"see why with: hpo study trials {status.name}"
        )
