"""The status of a study: its state, its best configuration, its workers.

The state is never stored. The state is derived from the recorded trials and test runs.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from hpo import events
from hpo.arguments import checked
from hpo.errors import DamagedError
from hpo.protocol import Protocol
from hpo.search.boundary_check import CrowdedEdge, crowded_edges
from hpo.statistics import Summary, are_fractions, mean, summarize
from hpo.studies.damage import damage_reported
from hpo.studies.lifecycle import Study, all_studies, open_database, open_study
from storage import studies
from storage.choice import Candidate, best_of
from storage.engine import Database
from storage.errors import EmptyStorageError, StudyMissingError
from storage.studies import WorkRow


StudyState = Literal["searching", "confirming", "testing", "complete"]


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The number of trials in each state; `target` is the total that the study is to have."""

    target: int
    complete: int
    pruned: int
    failed: int
    running: int

    @property
    def finished(self) -> int:
        """The number of trials that have an outcome."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True, kw_only=True)
class FailedTestRun:
    """A test run that failed: its seed, and why in full."""

    seed: int
    failure: str


@dataclass(frozen=True, kw_only=True)
class Best:
    """The chosen trial, or the best trial so far; errors are fractions from 0 to 1.

    `validation_error` is the mean over the complete trials with the same configuration.
    """

    trial: int
    params: dict[str, Any]
    n_parameters: int | None
    validation_error: float
    test_error: Summary | None
    failed_test_runs: list[FailedTestRun] = field(default_factory=list)

    @property
    def n_tested(self) -> int:
        """The number of test runs that have an outcome."""
        return len(self.failed_test_runs) + (self.test_error.n if self.test_error else 0)


@dataclass(frozen=True, kw_only=True)
class WorkerStatus:
    """The work that a worker holds.

    doing: the work as a text, for example "trial 3".
    since_s: seconds since the worker claimed the work.
    n_epochs: the number of epochs done, for a trial the mean over the folds.
    is_silent: whether the lease of the work has run out.
    """

    name: str
    doing: str
    since_s: float
    n_epochs: int
    is_silent: bool


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The training of a study in fold-epochs: what is `done`, and an estimate of what is `left`.

    The estimate assumes that the remaining trials train as many epochs as the ended ones did on
    average, pruned trials included.
    """

    done: int
    left: int


@dataclass(frozen=True, kw_only=True)
class Status:
    """The present status of a study.

    While the study is `paused`, workers start none of its work. `edges` lists the ends of search
    ranges near which the best trials lie: a user may want to widen these ranges. Only `show_study`
    and `list_studies` fill `edges`. `show` does not, because workers call it after every claim and
    do not need them.
    """

    name: str
    architecture: str
    dataset: str
    protocol: Protocol
    state: StudyState
    paused: bool
    trials: Counts
    best: Best | None
    effort: Effort
    workers: list[WorkerStatus] = field(default_factory=list)
    edges: list[CrowdedEdge] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether all trials and test runs are done."""
        return self.state == "complete"

    def to_json(self) -> dict[str, Any]:
        """The status as plain values, in the form that `hpo study show --json` prints.

        The protocol is given by its settings, without the search space.
        """
        return asdict(self) | {"protocol": self.protocol.frozen}


def show(db: Database, study: Study) -> Status:
    """The present status of a study in an open database, without `edges`.

    Raises:
        StudyMissingError: the study was deleted.
        DamagedError: the study's records are damaged.
    """
    with damage_reported(study.name):
        return _show(db, study)


def _show(db: Database, study: Study) -> Status:
    row = studies.get(db, study.name)
    work = studies.work(db, study.id)
    counts = _counts(work, row.n_trials)
    best = _best(db, study, work, row.choice)
    return Status(
        name=study.name,
        architecture=study.protocol.architecture,
        dataset=study.protocol.dataset,
        protocol=study.protocol,
        state=_state(counts, work, row.choice, study.protocol.repeats),
        paused=row.is_paused,
        trials=counts,
        best=best,
        effort=_effort(work, study, counts, best),
        workers=[_worker(row) for row in work if row.is_held],
    )


def _show_with_edges(db: Database, study: Study) -> Status:
    with damage_reported(study.name):
        return replace(_show(db, study), edges=_edges(db, study))


def _edges(db: Database, study: Study) -> list[CrowdedEdge]:
    """The ends of ranges near which the best sampled trials lie.

    The first trials (known configurations, centre) are left out, because no sampler drew them.
    """
    space, n_first = study.protocol.search_space, len(study.protocol.first)
    sampled = [
        row
        for row in studies.work(db, study.id)
        if row.kind == "trial" and row.state in ("complete", "pruned") and row.trial >= n_first
    ]
    params = studies.parameters(db, study.id)
    return crowded_edges(
        space,
        [
            (
                space.decode(params[row.trial]),
                recorded_error(row) if row.state == "complete" else math.inf,
            )
            for row in sampled
        ],
    )


def _counts(work: Sequence[WorkRow], target: int) -> Counts:
    trials = [row for row in work if row.kind == "trial"]
    states = Counter(trial.state for trial in trials)
    return Counts(
        target=target,
        complete=states["complete"],
        pruned=states["pruned"],
        failed=states["failed"],
        running=sum(trial.is_held for trial in trials),
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
    left = folds * _epochs_left(trials, counts.target, mean(ended) if ended else epochs)
    if best is not None or counts.finished < counts.target:
        tests = [w for w in work if best and w.kind == "test" and w.trial == best.trial]
        test_epochs = best.params.get("epochs", epochs) if best else epochs
        left += _epochs_left(tests, study.protocol.repeats, test_epochs)
    done = sum(w.n_epochs * (1 if w.kind == "test" else folds) for w in work)
    return Effort(done=done, left=round(left))


def _epochs_left(rows: Sequence[WorkRow], target: int, epochs: float) -> float:
    """The epochs that are left until `target` trials or test runs have an outcome.

    Each trains `epochs` epochs. Epochs that workers have done in unfinished work are subtracted.
    """
    n_missing = target - sum(row.state != "live" for row in rows)
    return max(0.0, n_missing * epochs - sum(row.n_epochs for row in rows if row.is_held))


def _best(db: Database, study: Study, work: Sequence[WorkRow], choice: int | None) -> Best | None:
    """The chosen trial; before the choice, the trial that would be chosen now."""
    complete = {w.trial: w for w in work if w.kind == "trial" and w.state == "complete"}
    params, space = studies.parameters(db, study.id), study.protocol.search_space
    keys = {t: space.key(params[t]) if study.protocol.avoids_repeats else t for t in complete}
    best = best_of(
        Candidate(trial, recorded_error(row), keys[trial])
        for trial, row in complete.items()
        if choice not in keys or keys[trial] == keys[choice]
    )
    if best is None:
        return None
    trial = best.trial if choice is None or choice not in keys else choice
    tested, failed = test_runs(work, trial), _tested(work, trial, "failed")
    return Best(
        trial=trial,
        params=space.decode(params[trial]),
        n_parameters=complete[trial].n_parameters,
        validation_error=best.error,
        test_error=_test_error(tested, study.protocol.test_size),
        failed_test_runs=[FailedTestRun(seed=w.seed, failure=w.failure or "") for w in failed],
    )


def _test_error(runs: Sequence[WorkRow], test_size: int) -> Summary | None:
    errors = [recorded_error(run) for run in runs]
    highest = 1.0 if are_fractions(errors, test_size) else math.inf
    return summarize(errors, [run.seed for run in runs], highest=highest)


def test_runs(work: Sequence[WorkRow], trial: int) -> list[WorkRow]:
    """The complete test runs of a trial, ordered by seed."""
    return _tested(work, trial, "complete")


def _tested(work: Sequence[WorkRow], trial: int, state: str) -> list[WorkRow]:
    tested = [w for w in work if w.kind == "test" and w.trial == trial and w.state == state]
    return sorted(tested, key=lambda w: w.seed)


def recorded_error(work: WorkRow) -> float:
    """The recorded error of work that is done and did not fail.

    Raises:
        ValueError: the work has no recorded error, so the database is damaged.
    """
    if work.error is None:
        raise ValueError(f"{work.kind} {work.trial} is {work.state} without an error")
    return work.error


def _worker(work: WorkRow) -> WorkerStatus:
    return WorkerStatus(
        name=work.worker,
        doing=f"trial {work.trial}" if work.kind == "trial" else f"test run {work.seed}",
        since_s=round(work.since_s, 3),
        n_epochs=work.n_epochs,
        is_silent=work.is_silent,
    )


@checked
def list_studies(storage: str | None = None) -> list[Status]:
    """The status of every study in a database; empty if the database does not exist yet.

    A study that cannot be read is left out, and a warning is logged.

    Raises:
        StorageError: the database cannot be used.
    """
    try:
        with closing(open_database(storage)) as db:
            readable, unreadable = all_studies(db)
            for left_out in unreadable:
                _warn_left_out(left_out.name, left_out.error)
            return list(_with_edges(db, readable))
    except EmptyStorageError as error:
        events.inform("no_studies", str(error))
        return []


def _with_edges(db: Database, readable: Sequence[Study]) -> Iterator[Status]:
    """The status of each study; a study that is damaged, or was deleted meanwhile, is left out."""
    for study in readable:
        try:
            yield _show_with_edges(db, study)
        except DamagedError as error:
            _warn_left_out(study.name, error)
        except StudyMissingError:
            continue


def _warn_left_out(name: str, error: DamagedError) -> None:
    events.warn("study_left_out", f"study {name} is left out: {error}")


@checked
def show_study(name: str, storage: str | None = None) -> Status:
    """The present status of the study with the given name.

    Raises:
        StudyMissingError: no study has that name.
    """
    with closing(open_database(storage)) as db:
        return _show_with_edges(db, open_study(db, name))
