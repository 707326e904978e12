"""Repeat the test runs of the reports' own configurations, without a search.

The runs are those of a study, but no database records them. Runs that are unfinished when the
program ends are lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from hpo.architectures import architectures
from hpo.errors import HpoError, InputError
from hpo.evaluation import repeated_seeds
from hpo.foreign_code.trust import own_word
from hpo.machine import DEVICES, count_cores, find_device
from hpo.registry import unknown
from hpo.reports.formatting import duration, percent, summary
from hpo.reports.run_progress import RunProgress
from hpo.reproduction.runs import (
    Repeats,
    Run,
    RunPlan,
    RunTask,
    configuration,
    finish,
    pieces,
    plan,
)
from hpo.statistics import Summary
from hpo.subprocesses.pool import spread
from search_spaces import recipe
from search_spaces.recipe import Reported


DEFAULT_REPEATS = 15
"""Test runs of a configuration if its report does not state a number of runs."""

TRIAL = 0
"""The trial number from which seeds are derived: the first trial of a study."""

REPORTED = ("test_error", "std", "n", "n_parameters", "train_s", "source")
"""The fields of a report that the JSON output has. The recipe has the hyperparameters."""

ROUNDING = 1e-9
"""Tolerance for rounding errors when two errors, as fractions, are compared."""

Agreement = Literal["yes", "better", "no", ""]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """The reported and the measured results of one architecture's reported configuration.

    `measured` is None if every run failed. `failures` has one reason for each failed run. `train_s`
    is the mean duration of a training in seconds, including its evaluations.
    """

    architecture: str
    reported: Reported
    measured: Summary | None
    failures: tuple[str, ...]
    n_parameters: int
    train_s: float | None

    @property
    def verdict(self) -> Agreement:
        """Whether the measured error agrees with the reported one: see the function `verdict`."""
        return verdict(self.reported, self.measured)

    @property
    def agrees(self) -> bool | None:
        """Whether the measured error agrees with the reported one or is better.

        None if the report has no error.
        """
        return None if self.verdict == "" else self.verdict != "no"

    def to_json(self) -> dict[str, Any]:
        """The result as plain values, in the form that `hpo reproduce --json` prints."""
        return asdict(self) | {
            "reported": {name: getattr(self.reported, name) for name in REPORTED},
            "agrees": self.agrees,
            "verdict": self.verdict,
        }


class ReproductionRun(NamedTuple):
    """The architectures whose runs are all done, and the error that stopped the other runs."""

    results: list[Reproduction]
    ended_by: HpoError | None


class Report(NamedTuple):
    """An architecture's reported results, and the plan of the runs that repeat them."""

    reported: Reported
    plan: RunPlan


@own_word()
def reproduce(
    names: Sequence[str] = (),
    *,
    repeats: int | None = None,
    processes: int | None = None,
    precision: str = "float32",
    device: str = "cpu",
    progress: bool = False,
) -> ReproductionRun:
    """Do the test runs of the reported configurations of architectures.

    Args:
        names: the architectures; all with a report if empty.
        repeats: test runs of each architecture; None means as many as in the report, else 15.
        processes: runs at the same time; None means one on each core.
        precision: number format of the forward pass, as in a protocol.
        device: torch device of the runs: auto, cpu or cuda.
        progress: whether to show the progress on stderr.

    A run that diverges counts as a failure of its architecture. A signal, or a process that dies,
    stops all runs: the result then holds the complete architectures and the error.

    Raises:
        InputError: an architecture is unknown or has no report, a number is out of range, or the
            device does not exist.
        DataError: the files of a data set are missing or damaged.
    """
    n_processes = _n_processes(processes, device)
    reports = [
        _report(name, repeats, precision) for name in dict.fromkeys(names) or reported_names()
    ]
    runs = pieces([report.plan for report in reports], device)
    results: dict[str, Reproduction] = {}
    ended_by = None
    with RunProgress(len(runs), is_silent=not progress) as display:
        try:
            for result in _results(reports, runs, min(n_processes, len(runs)), display):
                results[result.architecture] = result
        except HpoError as error:
            ended_by = error
    in_order = [report.plan.protocol.architecture for report in reports]
    return ReproductionRun([results[name] for name in in_order if name in results], ended_by)


def verdict(reported: Reported, measured: Summary | None) -> Agreement:
    """Whether the measured mean error agrees with the reported error.

    "yes" if their distance is at most two reported standard deviations. "better" if the measured
    error is lower than that, "no" if it is higher or every run failed. "" if the report has no
    error. A report without a standard deviation counts as one with the standard deviation 0.
    """
    if reported.test_error is None:
        return ""
    if measured is None:
        return "no"
    distance = measured.mean - reported.test_error
    if abs(distance) <= 2 * (reported.std or 0.0) + ROUNDING:
        return "yes"
    return "better" if distance < 0 else "no"


def run(piece: RunTask) -> Run:
    """Do one test run; an exception in the network makes a failed run, as in a study."""
    params, device = configuration(piece.protocol), find_device(piece.device)
    return finish(repeated_seeds.run(piece.protocol, TRIAL, params, piece.seed, device))


def _n_processes(processes: int | None, device: str) -> int:
    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    find_device(device)
    if processes is not None and processes < 1:
        raise InputError(f"processes: should be at least 1, but it is {processes}")
    return processes or count_cores()


def reported_names() -> list[str]:
    """The names of the architectures of hpo that have a report, in the order of the registry."""
    recipes = {name: recipe.bundled(name) for name in architectures}
    return [name for name, own in recipes.items() if own is not None and own.reported is not None]


def _report(name: str, repeats: int | None, precision: str) -> Report:
    from hpo.studies import recipes  # loads Optuna, which spawned processes do not need

    own = recipes.own_recipe(architectures.get(name))
    if own is None or own.reported is None:
        raise InputError(f"no report is known for {name}: its recipe has no reported section")
    reported = own.reported
    n = (reported.n or DEFAULT_REPEATS) if repeats is None else repeats
    params = reported.hyperparameters
    return Report(reported, plan(name, params, repeats=n, precision=precision))


def _results(
    reports: list[Report], all_pieces: list[RunTask], n_processes: int, display: RunProgress
) -> Iterator[Reproduction]:
    """Do all runs; yields an architecture's result as soon as its last run is done."""
    runs: list[dict[int, Run]] = [{} for _ in reports]  # by seed, in the order of the reports
    for piece, finished in spread(run, all_pieces, n_processes):
        runs[piece.plan][piece.seed] = finished
        display.advance()
        if len(runs[piece.plan]) == piece.protocol.repeats:
            result = _result(reports[piece.plan], Repeats.of(runs[piece.plan]))
            display.print_line(_summary_line(result))
            yield result


def _result(report: Report, repeats: Repeats) -> Reproduction:
    return Reproduction(
        architecture=report.plan.protocol.architecture,
        reported=report.reported,
        measured=repeats.measured,
        failures=repeats.failures,
        n_parameters=report.plan.n_parameters,
        train_s=repeats.train_s,
    )


def _summary_line(result: Reproduction) -> str:
    parts = [f"reported {percent(result.reported.test_error)}"]
    parts += [f"measured {summary(result.measured)}"]
    if result.train_s is not None:
        parts.append(f"{duration(result.train_s)} a run")
    if result.verdict:
        parts.append(f"agrees: {result.verdict}")
    if result.failures:
        parts.append(f"{len(result.failures)} failed, the first: {result.failures[0]}")
    return f"{result.architecture}: {' · '.join(parts)}"
