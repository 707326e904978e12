"""The reports' own configurations, run again: test runs as a study does them, without a search.

Nothing is recorded in a database: what is not complete when the program ends is lost.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from hpo.architectures import architectures
from hpo.errors import HpoError, InputError
from hpo.evaluation import repeated_seeds
from hpo.machine import count_cores, find_device
from hpo.registry import unknown
from hpo.reports.formatting import duration, percent, summary
from hpo.reports.run_progress import RunProgress
from hpo.reproduction.runs import Piece, Repeats, Run, RunPlan, configuration, finish, pieces, plan
from hpo.statistics import Summary
from hpo.subprocesses.pool import spread
from search_spaces import recipe
from search_spaces.recipe import Reported


DEFAULT_REPEATS = 15
TRIAL = 0
"""The number that the configuration has in a study whose whole space it is."""

REPORTED = ("test_error", "std", "n", "n_parameters", "train_s", "source")
"""What JSON gives of the report; the hyperparameters are in the recipe."""

ROUNDING = 1e-9

Agreement = Literal["yes", "better", "no", ""]


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """One architecture: what its report says, and what the same configuration gave here.

    `measured` is None where every run failed; `failures` say why runs did. `train_s` is the mean
    of the seconds of one training, its evaluations included.
    """

    architecture: str
    reported: Reported
    measured: Summary | None
    failures: tuple[str, ...]
    n_parameters: int
    train_s: float | None

    @property
    def verdict(self) -> Agreement:
        """Whether both agree, in a word; none where the report gives no error."""
        return verdict(self.reported, self.measured)

    @property
    def agrees(self) -> bool | None:
        """Whether the measured error is the reported one or better; None where none is reported."""
        return None if self.verdict == "" else self.verdict != "no"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {
            "reported": {name: getattr(self.reported, name) for name in REPORTED},
            "agrees": self.agrees,
            "verdict": self.verdict,
        }


class ReproductionRun(NamedTuple):
    """The architectures whose runs are all done, and what ended the rest, if anything."""

    results: list[Reproduction]
    ended_by: HpoError | None


class Report(NamedTuple):
    """What an architecture's report says, and what is to be run for it."""

    reported: Reported
    plan: RunPlan


def reproduce(
    names: Sequence[str] = (),
    *,
    repeats: int | None = None,
    processes: int | None = None,
    precision: str = "float32",
    device: str = "cpu",
    progress: bool = False,
) -> ReproductionRun:
    """Do the test runs of the reported configurations; of all architectures where none is named.

    `repeats` runs each, else as many as the report has, else 15; `processes` side by side, None
    for one on each core; `precision` as in a protocol. `progress` shows on stderr how it goes. A
    run that diverges is counted with its architecture; a signal, or a process that dies, ends it
    all and is in the outcome.

    Raises:
        InputError: an architecture is unknown or has nothing reported, a number is out of its
            range, or the device is not there.
        DataError: the files of a data set are missing or damaged.
    """
    n_processes = _checked(processes, device)
    wanted = dict.fromkeys(names) or reported_names()
    reports = [_report(name, repeats, precision) for name in wanted]
    todo = pieces([each.plan for each in reports], device)
    found: dict[str, Reproduction] = {}
    ended_by = None
    with RunProgress(len(todo), is_silent=not progress) as shown:
        try:
            for result in _results(reports, todo, min(n_processes, len(todo)), shown):
                found[result.architecture] = result
        except HpoError as error:
            ended_by = error
    in_order = [each.plan.protocol.architecture for each in reports]
    return ReproductionRun([found[name] for name in in_order if name in found], ended_by)


def verdict(reported: Reported, measured: Summary | None) -> Agreement:
    """Whether a measured mean lies within two reported standard deviations of the reported one.

    "better" is below that, "no" above it or no mean at all; "" where the report gives no error.
    A report without a standard deviation is taken at its word: 0.
    """
    if reported.test_error is None:
        return ""
    if measured is None:
        return "no"
    distance = measured.mean - reported.test_error
    if abs(distance) <= 2 * (reported.std or 0.0) + ROUNDING:
        return "yes"
    return "better" if distance < 0 else "no"


def run(piece: Piece) -> Run:
    """Do one test run; what goes wrong in the network is a failed one, as in a study."""
    params, device = configuration(piece.protocol), find_device(piece.device)
    return finish(repeated_seeds.run(piece.protocol, TRIAL, params, piece.seed, device))


def _checked(processes: int | None, device: str) -> int:
    from hpo.machine import DEVICES  # loads the database, which no spawned process needs

    if device not in DEVICES:
        raise InputError(unknown("device", device, DEVICES))
    find_device(device)
    if processes is not None and processes < 1:
        raise InputError(f"processes: should be at least 1, but it is {processes}")
    return processes or count_cores()


def reported_names() -> list[str]:
    """Those of hpo's own architectures of which something is reported, in the zoo's order."""
    found = {name: recipe.bundled(name) for name in architectures}
    return [name for name, each in found.items() if each is not None and each.reported is not None]


def _report(name: str, repeats: int | None, precision: str) -> Report:
    from hpo.studies import recipes  # loads Optuna, which no spawned process needs

    found = recipes.own_recipe(architectures.get(name))
    if found is None or found.reported is None:
        raise InputError(f"no report is known for {name}: its recipe has no reported section")
    reported = found.reported
    n = (reported.n or DEFAULT_REPEATS) if repeats is None else repeats
    params = reported.hyperparameters
    return Report(reported, plan(name, params, repeats=n, precision=precision))


def _results(
    reports: list[Report], todo: list[Piece], n_processes: int, shown: RunProgress
) -> Iterator[Reproduction]:
    """Do all pieces; gives each architecture's result as soon as it is complete."""
    runs: list[dict[int, Run]] = [{} for _ in reports]
    for piece, done in spread(run, todo, n_processes):
        runs[piece.plan][piece.seed] = done
        shown.advance()
        if len(runs[piece.plan]) == piece.protocol.repeats:
            result = _result(reports[piece.plan], Repeats.of(runs[piece.plan]))
            shown.print_line(_line(result))
            yield result


def _result(report: Report, done: Repeats) -> Reproduction:
    return Reproduction(
        architecture=report.plan.protocol.architecture,
        reported=report.reported,
        measured=done.measured,
        failures=done.failures,
        n_parameters=report.plan.n_parameters,
        train_s=done.train_s,
    )


def _line(result: Reproduction) -> str:
    """A finished architecture in one line."""
    parts = [f"reported {percent(result.reported.test_error)}"]
    parts += [f"measured {summary(result.measured)}"]
    if result.train_s is not None:
        parts.append(f"{duration(result.train_s)} a run")
    if result.verdict:
        parts.append(f"agrees: {result.verdict}")
    if result.failures:
        parts.append(f"{len(result.failures)} failed, the first: {result.failures[0]}")
    return f"{result.architecture}: {' · '.join(parts)}"
