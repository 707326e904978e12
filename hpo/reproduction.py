"""The reports' own configurations, run again: test runs as a study does them, without a search.

Nothing is recorded in a database: what is not complete when the program ends is lost.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hpo import protocol as protocols
from hpo import test_error
from hpo.architectures import architectures, count_parameters
from hpo.datasets import fingerprint
from hpo.errors import HpoError, InputError
from hpo.formatting import duration, percent, summary
from hpo.limits import count_cores
from hpo.pool import spread
from hpo.protocol import DEFAULT_BATCH_SIZE, DEFAULT_EPOCHS, Protocol
from hpo.registry import unknown
from hpo.setting import Setting
from hpo.statistics import Summary, mean, summarize
from hpo.training import DivergedError, find_device, repeatable
from search_spaces import recipe
from search_spaces.recipe import Reported


DEFAULT_REPEATS = 15
TRIAL = 0
"""The number that the configuration has in a study whose whole space it is."""

REPORTED = ("test_error", "std", "n", "n_parameters", "train_s", "source")
"""What JSON gives of the report; the hyperparameters are in the recipe."""

ROUNDING = 1e-9
QUIET_S = 60.0
"""A log gets a line at least this often while runs are finished."""

Verdict = Literal["yes", "better", "no", ""]


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
    def verdict(self) -> Verdict:
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


class Outcome(NamedTuple):
    """The architectures whose runs are all done, and what ended the rest, if anything."""

    results: list[Reproduction]
    ended_by: HpoError | None


class Plan(NamedTuple):
    """What is to be run for one architecture."""

    reported: Reported
    protocol: Protocol
    n_parameters: int


class Piece(NamedTuple):
    """One test run."""

    protocol: Protocol
    seed: int
    device: str


class Run(NamedTuple):
    """What came of a test run: its error and the seconds of the training, or why it failed."""

    error: float | None = None
    train_s: float | None = None
    failure: str | None = None


def reproduce(
    names: Sequence[str] = (),
    *,
    repeats: int | None = None,
    processes: int | None = None,
    device: str = "cpu",
    progress: bool = False,
) -> Outcome:
    """Do the test runs of the reported configurations; of all architectures where none is named.

    `repeats` runs each, else as many as the report has, else 15; `processes` side by side, None
    for one on each core. `progress` shows on stderr how it goes. A run that diverges is counted
    with its architecture; a signal, or a process that dies, ends it all and is in the outcome.

    Raises:
        InputError: an architecture is unknown or has nothing reported, a number is out of its
            range, or the device is not there.
        DataError: the files of a data set are missing or damaged.
    """
    n_processes = _checked(processes, device)
    plans = [_plan(name, repeats) for name in dict.fromkeys(names) or reported_names()]
    pieces = [
        Piece(protocol=plan.protocol, seed=seed, device=device)
        for plan in plans
        for seed in range(plan.protocol.repeats)
    ]
    found: dict[str, Reproduction] = {}
    ended_by = None
    with _shown(len(pieces), progress) as shown:
        try:
            for result in _results(plans, pieces, min(n_processes, len(pieces)), shown):
                found[result.architecture] = result
        except HpoError as error:
            ended_by = error
    in_order = [plan.protocol.architecture for plan in plans]
    return Outcome([found[name] for name in in_order if name in found], ended_by)


def verdict(reported: Reported, measured: Summary | None) -> Verdict:
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
    params = piece.protocol.search_space.decode({})
    try:
        with repeatable():
            device = find_device(piece.device)
            *_, last = test_error.run(piece.protocol, TRIAL, params, piece.seed, device)
    except DivergedError as error:
        return Run(failure=str(error))
    except HpoError:
        raise
    except Exception as error:  # noqa: BLE001  one network's bug must not end the others' runs
        return Run(failure=f"{type(error).__name__}: {error}")
    return Run(error=last.curve[-1], train_s=last.train_s)


def _checked(processes: int | None, device: str) -> int:
    from hpo.processes import DEVICES  # loads the database, which no spawned process needs

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


def _plan(name: str, repeats: int | None) -> Plan:
    from hpo import creation  # loads Optuna, which no spawned process needs

    entry = creation.architecture(name)
    found = creation.own_recipe(entry)
    if found is None or found.reported is None:
        raise InputError(f"no report is known for {name}: its recipe has no reported section")
    dataset, data = creation.dataset(None, entry)
    protocol = protocols.make(
        architecture=name,
        dataset=dataset,
        fingerprint=fingerprint(dataset),
        train_size=data.default_train_size,
        test_size=data.default_test_size,
        space=found.reported.hyperparameters,
        epochs=found.epochs or DEFAULT_EPOCHS,
        batch_size=found.batch_size or DEFAULT_BATCH_SIZE,
        repeats=(found.reported.n or DEFAULT_REPEATS) if repeats is None else repeats,
    )
    space = protocol.search_space
    creation.check_names(space, entry)
    creation.check_builds(protocol, space)
    model = Setting.of(protocol, space.decode({})).build()
    return Plan(reported=found.reported, protocol=protocol, n_parameters=count_parameters(model))


def _results(
    plans: list[Plan], pieces: list[Piece], n_processes: int, shown: "_Shown"
) -> Iterator[Reproduction]:
    """Do all pieces; gives each architecture's result as soon as it is complete."""
    plan_of = {plan.protocol.architecture: plan for plan in plans}
    runs: dict[str, dict[int, Run]] = {name: {} for name in plan_of}
    for piece, done in spread(run, pieces, n_processes):
        name = piece.protocol.architecture
        runs[name][piece.seed] = done
        shown.advance()
        if len(runs[name]) == piece.protocol.repeats:
            result = _result(plan_of[name], [runs[name][seed] for seed in sorted(runs[name])])
            shown.tell(_line(result))
            yield result


def _result(plan: Plan, runs: list[Run]) -> Reproduction:
    seconds = [each.train_s for each in runs if each.train_s is not None]
    return Reproduction(
        architecture=plan.protocol.architecture,
        reported=plan.reported,
        measured=summarize([each.error for each in runs if each.error is not None]),
        failures=tuple(each.failure for each in runs if each.failure is not None),
        n_parameters=plan.n_parameters,
        train_s=mean(seconds) if seconds else None,
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


class _Shown:
    """On a terminal a bar below the lines that are told, else those lines and how far it is."""

    def __init__(self, n_runs: int, bar: Progress, *, is_silent: bool) -> None:
        self._n_runs, self._bar, self._is_silent = n_runs, bar, is_silent
        self._task = bar.add_task("runs", total=n_runs)
        self._n_done, self._told = 0, time.monotonic()

    def advance(self) -> None:
        """One more run is done."""
        self._n_done += 1
        self._bar.advance(self._task)
        if self._bar.disable and time.monotonic() - self._told > QUIET_S:
            self.tell(f"{self._n_done} of {self._n_runs} runs")

    def tell(self, line: str) -> None:
        """A line that stays."""
        self._told = time.monotonic()
        if not self._is_silent:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _shown(n_runs: int, progress: bool) -> Iterator[_Shown]:
    console = Console(stderr=True)
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()),
        *(TextColumn("· about"), TimeRemainingColumn(), TextColumn("left")),
    )
    disable = not (progress and console.is_terminal)
    with Progress(
        *columns, console=console, transient=True, redirect_stdout=False, disable=disable
    ) as bar:
        yield _Shown(n_runs, bar, is_silent=not progress)
