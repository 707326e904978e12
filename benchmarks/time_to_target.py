"""Measure what a search costs until its choice is as good as that of an exhaustive search.

An exhaustive search is full cross-validation of 60 random points of the recipe's space, with 3
folds and the recipe's epochs. A choice is as good if its error in 10 repeated cross-validations on
fresh examples and folds is at most 0.3 percentage points above the exhaustive choice's. (If
`benchmarks/exhaustive/` has several exhaustive searches, their mean counts.) The cost is the
fold-epochs and seconds of one worker, from its first claim until the best complete trial is as
good. `plain` is what `plain_script.py` does: TPE without a pruner, known configuration or centre.

Prints progress to stderr, Markdown to stdout:

    HPO_DATA_DIR=... python -m benchmarks.time_to_target --strategies all --folder FOLDER
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, product
from pathlib import Path
from typing import NamedTuple

from benchmarks import fresh, searches
from benchmarks.conditions import conditions, say
from benchmarks.exhaustive_search import FIRST_SEED, KEPT, Exhaustive, Goal
from benchmarks.searches import Search, Trial
from hpo.statistics import mean
from hpo.subprocesses.pool import spread


MARGIN = 0.003
"""How much greater the error of a choice that is as good may be, as a fraction."""

SAMPLERS, PRUNERS = ("tpe", "gp", "random"), ("hyperband", "median", "forgiving", "none")
TENTH = 0.1
SEARCHED = ("fnn-ws", "fc-aux", "convpair-ws-aux", "fnn", "direct-ws", "direct-al-ws")
"""Architectures with two exhaustive searches that improve on the known configuration."""


class Strategy(NamedTuple):
    """A sampler and a pruner; `known`: start with the known configuration and the centre."""

    sampler: str
    pruner: str
    known: bool = True

    def __str__(self) -> str:
        return f"{self.sampler}, {self.pruner}" if self.known else "plain"


PLAIN = Strategy("tpe", "none", known=False)
MAIN = [Strategy("tpe", "forgiving"), Strategy("tpe", "hyperband"), PLAIN]
STRATEGIES = {
    "no": [],
    "default": MAIN[:1],
    "main": MAIN,
    "all": [*(Strategy(*each) for each in product(SAMPLERS, PRUNERS)), PLAIN],
}


@dataclass(frozen=True)
class Piece:
    """A search to run: its target error, its cap in fold-epochs, and the folder for its results."""

    strategy: Strategy
    search: Search
    target: float
    cap: int
    folder: Path


class Cost(NamedTuple):
    """Fold-epochs and seconds until the first choice that is as good; infinity if there is none.

    `error` is the error of that choice on fresh folds, or of the last choice. `seconds_each` is the
    seconds of training per fold-epoch.
    """

    fold_epochs: float
    seconds: float
    seconds_each: float
    error: float


def measure(piece: Piece) -> Cost:
    """Run the search and measure its choices in their order until one is as good."""
    most = piece.cap // searches.FOLDS  # trials, if each is stopped after its first epoch
    trials = searches.kept(
        piece.search, piece.folder / "searches", trials=most, fold_epochs=piece.cap
    )
    n_fold_epochs = sum(trial.fold_epochs for trial in trials)
    seconds_each = sum(trial.train_s for trial in trials) / n_fold_epochs
    error = math.inf
    for fold_epochs, trial in choices(trials):
        if fold_epochs > piece.cap:
            break
        architecture, folder = piece.search.architecture, piece.folder / "fresh"
        error = mean(fresh.errors(architecture, trial.params, folder))
        if error <= piece.target + MARGIN:
            return Cost(fold_epochs, trial.ended_s, seconds_each, error)
    return Cost(math.inf, math.inf, seconds_each, error)


def choices(trials: Sequence[Trial]) -> Iterator[tuple[int, Trial]]:
    """Each trial that is the best when it ends, and the fold-epochs that are spent by then."""
    best = math.inf
    for spent, trial in zip(accumulate(trial.fold_epochs for trial in trials), trials, strict=True):
        if trial.state == "complete" and trial.error is not None and trial.error < best:
            best = trial.error
            yield spent, trial


def explore(job: tuple[str, int, Path]) -> Exhaustive:
    """Run one exhaustive search: architecture, seed, folder."""
    return Exhaustive.run(*job)


def exhaust(architectures: Sequence[str], n: int, folder: Path, processes: int) -> None:
    """Run `n` exhaustive searches of each architecture; they replace those in `KEPT`."""
    seeds = range(FIRST_SEED, FIRST_SEED + n)
    jobs = [(name, seed, folder) for seed, name in product(seeds, architectures)]
    for name in architectures:
        for path in (KEPT / name).glob("*.json"):
            path.unlink()
    for (name, seed, _), done in spread(explore, jobs, processes):
        done.write()
        say(
            f"exhaustive {name}, seed {seed}: {done.choice.error:.2%}, on fresh folds "
            f"{mean(done.fresh_chosen):.2%}, known {mean(done.fresh_known):.2%}"
        )


def table(head: str, rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    n_columns = head.count("|") + 1
    lines = [head, " | ".join(["---"] * n_columns), *(" | ".join(row) for row in rows)]
    return "\n" + "\n".join(f"| {line} |" for line in lines)


def room(goals: dict[str, Goal]) -> str:
    """A table that compares the exhaustive choices with the known configurations."""
    rows = []
    for name, goal in goals.items():
        validation = [search.choice.error or 0.0 for search in goal.searches]
        chosen = [mean(search.fresh_chosen) for search in goal.searches]
        rows.append(
            [
                f"`{name}`",
                f"{goal.fold_epochs:,.0f}",
                f"{goal.seconds:.0f}",
                ", ".join(f"{100 * error:.1f}" for error in validation),
                ", ".join(f"{100 * error:.1f}" for error in chosen),
                f"{100 * goal.error:.2f}",
                f"{100 * goal.known_error:.2f}",
                f"{100 * (goal.known_error - goal.error):+.2f}",
            ]
        )
    head = "architecture | fold-epochs | s | choices: validation error, % | on fresh folds, % "
    return table(head + "| mean, % | known on fresh folds, % | room, points", rows)


def spans(values: Sequence[float], digits: int = 1, unit: str = "") -> str:
    """Median, least and greatest of some values; an infinite value was not reached."""
    middle, least, most = (
        "not reached" if math.isinf(value) else f"{value:,.{digits}f}{unit}"
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({least} to {most})" if least != most else middle


def costs(goals: dict[str, Goal], measured: dict[tuple[str, Strategy], list[Cost]]) -> str:
    """A table that compares the main strategies with the exhaustive search."""
    rows = []
    for (name, strategy), every in measured.items():
        if strategy in MAIN:
            goal = goals[name]
            seconds = [cost.seconds / (goal.fold_epochs * cost.seconds_each) for cost in every]
            shares = [100 * cost.fold_epochs / goal.fold_epochs for cost in every]
            n_reached = sum(not math.isinf(cost.fold_epochs) for cost in every)
            rows.append(
                [
                    f"`{name}`",
                    str(strategy),
                    f"{n_reached} of {len(every)}",
                    spans([100 * cost.error for cost in every]),
                    spans([cost.fold_epochs for cost in every], 0),
                    spans(shares, 1, " %"),
                    spans([cost.seconds for cost in every]),
                    spans([100 * share for share in seconds], 1, " %"),
                ]
            )
    head = "architecture | search | got there | choice (first as good, else last), % | fold-epochs"
    head += " | of the exhaustive search | s | of its fold-epochs' seconds"
    return table(head, rows)


def ranking(goals: dict[str, Goal], measured: dict[tuple[str, Strategy], list[Cost]]) -> str:
    """A table of all strategies, sorted by how many searches get there within a tenth."""
    rows = []
    for strategy in dict.fromkeys(strategy for _, strategy in measured):
        shares = {
            name: [cost.fold_epochs / goal.fold_epochs for cost in measured[name, strategy]]
            for name, goal in goals.items()
        }
        every = [share for of_name in shares.values() for share in of_name]
        cells = [
            f"{_percent(statistics.median(of_name))} "
            f"({sum(not math.isinf(share) for share in of_name)} of {len(of_name)})"
            for of_name in shares.values()
        ]
        tenth = sum(share <= TENTH for share in every)
        gaps = [
            100 * (cost.error - goal.error)
            for name, goal in goals.items()
            for cost in measured[name, strategy]
        ]
        figures = [f"{tenth} of {len(every)}", f"{mean(gaps):+.2f}"]
        rows.append((-tenth, mean(gaps), [str(strategy), *figures, *cells]))
    head = "search | within a tenth | choice less the exhaustive one, points"
    head += "".join(f" | `{name}`" for name in goals)
    return table(head, [cells for *_, cells in sorted(rows)])


def _percent(share: float) -> str:
    return "not reached" if math.isinf(share) else f"{100 * share:.1f} %"


def compare(
    goals: dict[str, Goal], options: argparse.Namespace, folder: Path
) -> dict[tuple[str, Strategy], list[Cost]]:
    """Run all searches; return their costs by architecture and strategy."""
    strategies = STRATEGIES[options.strategies]
    pieces = [
        Piece(
            strategy,
            Search(architecture=name, seed=seed, **strategy._asdict()),
            goals[name].error,
            round(options.cap * goals[name].fold_epochs),
            folder,
        )
        for seed, strategy, name in product(range(options.seeds), strategies, goals)
    ]
    measured: dict[tuple[str, Strategy], list[Cost]] = {
        (name, strategy): [] for name, strategy in product(goals, strategies)
    }
    for n_done, (piece, cost) in enumerate(spread(measure, pieces, options.processes), start=1):
        name = piece.search.architecture
        measured[name, piece.strategy].append(cost)
        share = _percent(cost.fold_epochs / goals[name].fold_epochs)
        say(f"{n_done} of {len(pieces)}: {piece.search.name}: {share}, {cost.seconds:.1f} s")
    return measured


def main() -> None:
    """Run the searches that the folder does not have yet; print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kept = ", ".join(sorted(path.name for path in KEPT.glob("*")))
    parser.add_argument(
        "architectures", nargs="*", default=SEARCHED, help=f"with exhaustive searches: {kept}"
    )
    parser.add_argument("--strategies", choices=STRATEGIES, default="main")
    parser.add_argument("--seeds", type=int, default=5, help="searches by each strategy")
    parser.add_argument(
        "--cap",
        type=float,
        default=TENTH,
        help="end a search at this share of the exhaustive search's fold-epochs",
    )
    parser.add_argument(
        "--exhaustive", type=int, metavar="N", help="first run N new exhaustive searches"
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="keeps finished searches for the next run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.exhaustive:
            exhaust(options.architectures, options.exhaustive, folder, options.processes)
        goals = {name: Goal.read(name) for name in options.architectures}
        print(conditions("time_to_target"))
        title = f"{options.seeds} searches by each strategy, none longer than {options.cap:.0%}"
        print(f"\n{title} of the exhaustive search's fold-epochs.\n{room(goals)}", flush=True)
        if measured := compare(goals, options, folder):
            print(f"{costs(goals, measured)}\n{ranking(goals, measured)}")


if __name__ == "__main__":
    main()
