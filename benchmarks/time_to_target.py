"""What a search costs until its choice is as good as an exhaustive one's.

The exhaustive search is full cross-validation of 60 random points of the recipe's space, 3 folds,
the recipe's epochs. A choice is as good when its error in 10 repeated cross-validations on fresh
examples and folds is at most 0.3 percentage points above that of the exhaustive choice (the mean
over those that are kept in `benchmarks/exhaustive/`). What is measured: fold-epochs and seconds of
one worker from its first claim until the best complete trial is as good. `plain` is what
`plain_script.py` does: TPE without a pruner and without the known configuration.

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
SAMPLERS, PRUNERS = ("tpe", "gp", "random"), ("hyperband", "median", "forgiving", "none")
TENTH = 0.1
SEARCHED = ("fnn-ws", "fc-aux", "convpair-ws-aux", "fnn", "direct-ws", "direct-al-ws")
"""Those with two exhaustive searches, and room above the known configuration."""


class Strategy(NamedTuple):
    """How to search."""

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
    """A search to be done in a process, its figures, and where to keep what is done."""

    strategy: Strategy
    search: Search
    target: float
    cap: int
    folder: Path


class Found(NamedTuple):
    """What the first choice that is as good has cost by then; infinite where there is none.

    `error` is its error on fresh folds, or that of the last choice. `seconds_each` is what the
    training of one fold-epoch of this search took.
    """

    fold_epochs: float
    seconds: float
    seconds_each: float
    error: float


def look(piece: Piece) -> Found:
    """Do the search and measure its choices, one after another, until one is as good."""
    most = piece.cap // searches.FOLDS  # where each is stopped after its first epoch
    trials = searches.kept(
        piece.search, piece.folder / "searches", trials=most, fold_epochs=piece.cap
    )
    each = sum(trial.train_s for trial in trials) / sum(trial.fold_epochs for trial in trials)
    error = math.inf
    for fold_epochs, trial in choices(trials):
        if fold_epochs > piece.cap:
            break
        architecture, folder = piece.search.architecture, piece.folder / "fresh"
        error = mean(fresh.errors(architecture, trial.params, folder))
        if error <= piece.target + MARGIN:
            return Found(fold_epochs, trial.ended_s, each, error)
    return Found(math.inf, math.inf, each, error)


def choices(trials: Sequence[Trial]) -> Iterator[tuple[int, Trial]]:
    """Each trial that is the best complete one when it ends, and the fold-epochs spent by then."""
    best = math.inf
    for spent, trial in zip(accumulate(each.fold_epochs for each in trials), trials, strict=True):
        if trial.state == "complete" and trial.error is not None and trial.error < best:
            best = trial.error
            yield spent, trial


def explore(job: tuple[str, int, Path]) -> Exhaustive:
    """One exhaustive search."""
    return Exhaustive.run(*job)


def exhaust(architectures: Sequence[str], n: int, folder: Path, processes: int) -> None:
    """Do `n` exhaustive searches of each and keep them, in place of those that were kept."""
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
    """In Markdown."""
    n_columns = head.count("|") + 1
    lines = [head, " | ".join(["---"] * n_columns), *(" | ".join(row) for row in rows)]
    return "\n" + "\n".join(f"| {line} |" for line in lines)


def room(goals: dict[str, Goal]) -> str:
    """What the exhaustive searches found, beside the known configuration."""
    rows = []
    for name, goal in goals.items():
        validation = [each.choice.error or 0.0 for each in goal.found]
        chosen = [mean(each.fresh_chosen) for each in goal.found]
        rows.append(
            [
                f"`{name}`",
                f"{goal.fold_epochs:,.0f}",
                f"{goal.seconds:.0f}",
                ", ".join(f"{100 * each:.1f}" for each in validation),
                ", ".join(f"{100 * each:.1f}" for each in chosen),
                f"{100 * goal.error:.2f}",
                f"{100 * goal.known_error:.2f}",
                f"{100 * (goal.known_error - goal.error):+.2f}",
            ]
        )
    head = "architecture | fold-epochs | s | choices: validation error, % | on fresh folds, % "
    return table(head + "| mean, % | known on fresh folds, % | room, points", rows)


def spans(found: Sequence[float], digits: int = 1, unit: str = "") -> str:
    """Median, least and most; what is not reached is infinite."""
    middle, least, most = (
        "not reached" if math.isinf(each) else f"{each:,.{digits}f}{unit}"
        for each in (statistics.median(found), min(found), max(found))
    )
    return f"{middle} ({least} to {most})" if least != most else middle


def costs(goals: dict[str, Goal], found: dict[tuple[str, Strategy], list[Found]]) -> str:
    """The main strategies beside the exhaustive search, in fold-epochs and seconds."""
    rows = []
    for (name, strategy), every in found.items():
        if strategy in MAIN:
            goal = goals[name]
            own = [each.seconds / (goal.fold_epochs * each.seconds_each) for each in every]
            shares = [100 * each.fold_epochs / goal.fold_epochs for each in every]
            n_reached = sum(not math.isinf(each.fold_epochs) for each in every)
            rows.append(
                [
                    f"`{name}`",
                    str(strategy),
                    f"{n_reached} of {len(every)}",
                    spans([100 * each.error for each in every]),
                    spans([each.fold_epochs for each in every], 0),
                    spans(shares, 1, " %"),
                    spans([each.seconds for each in every]),
                    spans([100 * each for each in own], 1, " %"),
                ]
            )
    head = "architecture | search | got there | choice (first as good, else last), % | fold-epochs"
    head += " | of the exhaustive search | s | of its fold-epochs' seconds"
    return table(head, rows)


def ranking(goals: dict[str, Goal], found: dict[tuple[str, Strategy], list[Found]]) -> str:
    """All strategies, those that get there within a tenth most often first; medians of shares."""
    rows = []
    for strategy in dict.fromkeys(strategy for _, strategy in found):
        shares = {
            name: [each.fold_epochs / goal.fold_epochs for each in found[name, strategy]]
            for name, goal in goals.items()
        }
        every = [share for each in shares.values() for share in each]
        cells = [
            f"{_percent(statistics.median(each))} "
            f"({sum(not math.isinf(share) for share in each)} of {len(each)})"
            for each in shares.values()
        ]
        tenth = sum(share <= TENTH for share in every)
        beside = [
            100 * (each.error - goal.error)
            for name, goal in goals.items()
            for each in found[name, strategy]
        ]
        figures = [f"{tenth} of {len(every)}", f"{mean(beside):+.2f}"]
        rows.append((-tenth, mean(beside), [str(strategy), *figures, *cells]))
    head = "search | within a tenth | choice less the exhaustive one, points"
    head += "".join(f" | `{name}`" for name in goals)
    return table(head, [cells for *_, cells in sorted(rows)])


def _percent(share: float) -> str:
    return "not reached" if math.isinf(share) else f"{100 * share:.1f} %"


def compare(
    goals: dict[str, Goal], options: argparse.Namespace, folder: Path
) -> dict[tuple[str, Strategy], list[Found]]:
    """All searches, by architecture and strategy."""
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
    found: dict[tuple[str, Strategy], list[Found]] = {
        (name, strategy): [] for name, strategy in product(goals, strategies)
    }
    for n_done, (piece, each) in enumerate(spread(look, pieces, options.processes), start=1):
        name = piece.search.architecture
        found[name, piece.strategy].append(each)
        share = _percent(each.fold_epochs / goals[name].fold_epochs)
        say(f"{n_done} of {len(pieces)}: {piece.search.name}: {share}, {each.seconds:.1f} s")
    return found


def main() -> None:
    """Do what is not kept yet, print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kept = ", ".join(sorted(each.name for each in KEPT.glob("*")))
    parser.add_argument("architectures", nargs="*", default=SEARCHED, help=f"kept: {kept}")
    parser.add_argument("--strategies", choices=STRATEGIES, default="main")
    parser.add_argument("--seeds", type=int, default=5, help="so many searches by each strategy")
    parser.add_argument("--cap", type=float, default=TENTH, help="share of the exhaustive search")
    parser.add_argument("--exhaustive", type=int, metavar="N", help="do N exhaustive ones anew")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="what is done is kept here, for another run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.exhaustive:
            exhaust(options.architectures, options.exhaustive, folder, options.processes)
        goals = {name: Goal.read(name) for name in options.architectures}
        print(conditions("time_to_target"))
        words = f"{options.seeds} searches by each strategy, none longer than {options.cap:.0%}"
        print(f"\n{words} of the exhaustive search's fold-epochs.\n{room(goals)}", flush=True)
        if found := compare(goals, options, folder):
            print(f"{costs(goals, found)}\n{ranking(goals, found)}")


if __name__ == "__main__":
    main()
