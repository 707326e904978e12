"""Compare the trials per second of hpo and of plain Optuna's `study.optimize` on one database.

Both run trials of 6 parameters that train nothing, in rounds that alternate. SQLite is always
measured. PostgreSQL and MariaDB are measured if their URL is given or is in HPO_TEST_POSTGRES_URL
or HPO_TEST_MYSQL_URL. Temporary databases are created there and dropped. Prints Markdown to stdout:

    python -m benchmarks.storage --postgres URL --mysql URL
"""

import argparse
import contextlib
import functools
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


if not __package__:  # run as a file, this module would hide the package `storage`
    sys.path[0] = str(Path(__file__).parents[1])

import sqlalchemy as sa

from benchmarks.conditions import conditions, say
from benchmarks.filled_studies import count_trials, create_ours, create_plain
from benchmarks.noop_trials import make_protocol
from benchmarks.noop_workers import (
    N_TURNS,
    SIDES,
    Cell,
    Round,
    finish,
    share,
    side_by_side,
    take_turns,
)
from storage.engine import Database
from storage.backends import parse_url
from tests.support.databases import URL_VARIABLES, fresh_database


SIZES = (100, 1000, 5000)
"""Finished trials of the studies."""

N_ASKED, N_KNOWN, N_TOGETHER = 100, 40, 8
"""Budget, known configurations and workers of the shared study."""

CELLS = [
    *(Cell("tpe", n_workers, size) for n_workers in (1, 8) for size in SIZES),
    Cell("tpe", 64, SIZES[0]),
    *(Cell("random", 8, size) for size in SIZES),
]
SHORT_CELLS = [Cell(sampler, 8, SIZES[0]) for sampler in ("tpe", "random")]


@dataclass(frozen=True)
class Bench:
    """The measurements on one database. Each returns lines of a table."""

    kind: str
    url: str
    db: Database

    def throughput(self, cell: Cell, rounds: int) -> list[str]:
        """Trials per second of hpo and plain Optuna, and their errors of bookkeeping."""
        name, protocol = secrets.token_hex(4), make_protocol(cell.sampler)
        n_asked = rounds * cell.n_workers * cell.share
        ids = {
            "plain": create_plain(self.db, f"plain-{name}", protocol, cell.n_finished),
            "hpo": create_ours(self.db, f"hpo-{name}", protocol, cell.n_finished, n_asked),
        }
        workers = side_by_side(cell.n_workers, share, self.url, name, cell, rounds)
        plain, ours = (
            [
                _rate([rounds_done[side][number] for rounds_done in workers])
                for number in range(rounds)
            ]
            for side in SIDES
        )
        ratios = [a / b for a, b in zip(ours, plain, strict=True)]
        rates = [f"{statistics.median(each):.1f}" for each in (plain, ours)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        n_in_all = cell.n_finished + n_asked
        counts = [
            self._counts(ids[side], n_in_all, [each for done in workers for each in done[side]])
            for side in SIDES
        ]
        size = f"{cell.n_finished:,}"
        return [_line(self.kind, cell.sampler, cell.n_workers, size, *rates, ratio, *counts)]

    def exactness(self) -> list[str]:
        """Errors of bookkeeping when all workers share a budget with known configurations."""
        protocol = make_protocol("random", N_KNOWN)
        lines = []
        for side in SIDES:
            name = f"{side}-{secrets.token_hex(4)}"
            if side == "hpo":
                study_id = create_ours(self.db, name, protocol, 0, N_ASKED)
            else:
                study_id = create_plain(self.db, name, protocol, 0)
            done = side_by_side(N_TOGETHER, finish, self.url, name, side, N_ASKED)
            lines.append(_line(self.kind, side, self._counts(study_id, N_ASKED, done)))
        return lines

    def claims(self) -> list[str]:
        """Milliseconds of the parts of a trial, by the number of finished trials."""
        lines = []
        for sampler in ("tpe", "random"):
            names = [f"hpo-{secrets.token_hex(4)}" for _ in SIZES]
            for name, size in zip(names, SIZES, strict=True):
                create_ours(self.db, name, make_protocol(sampler), size, N_TURNS)
            (times,) = side_by_side(1, take_turns, self.url, names)
            for part in ("claim_s", "parameters_s", "result_s"):
                taken = [1000 * statistics.median(getattr(t, part) for t in each) for each in times]
                numbers = [f"{milliseconds:.1f}" for milliseconds in taken]
                growth = f"{taken[-1] / taken[0] - 1:+.0%}"
                lines.append(_line(self.kind, sampler, part.removesuffix("_s"), *numbers, growth))
        return lines

    def _counts(self, study_id: int, n_asked: int, rounds: Sequence[Round]) -> str:
        """Trials beyond the budget, left unfinished and evaluated twice; processes that failed."""
        counted = count_trials(self.db, study_id)
        evaluated = [number for done in rounds for number in done.evaluated]
        n_twice = len(evaluated) - len(set(evaluated))
        failures = [done.failure for done in rounds if done.failure]
        for failure in failures:
            say(f"{self.kind}: {failure}")
        beside = counted.n_finished - n_asked
        return f"{beside:+d}, {counted.n_unfinished}, {n_twice}, {len(failures)}"


def _rate(rounds: Sequence[Round]) -> float:
    """Trials per second, from the common start to the end of the last worker."""
    n_trials = sum(len(done.evaluated) for done in rounds)
    return n_trials / (max(done.ended for done in rounds) - min(done.began for done in rounds))


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _head(title: str, *cells: str) -> None:
    print(f"\n{title}\n\n{_line(*cells)}\n{_line(*['---'] * len(cells))}", flush=True)


def _print_lines(title: str, measure: Callable[[], list[str]]) -> None:
    """Print the lines of a measurement. If it fails, print that: the other lines are kept."""
    begun = time.monotonic()
    try:
        lines = measure()
    except Exception as error:  # noqa: BLE001  any error of three drivers
        lines = [_line(title, f"failed: {type(error).__name__}: {' '.join(str(error).split())}")]
    print("\n".join(lines), flush=True)
    say(f"{title}: {time.monotonic() - begun:.0f} s")


@contextlib.contextmanager
def _bench(kind: str, server: str | None) -> Iterator[Bench]:
    """Create an empty database: on a server, or in a temporary folder."""
    with contextlib.ExitStack() as stack:
        if server is None:
            url = f"sqlite:///{stack.enter_context(tempfile.TemporaryDirectory())}/hpo.db"
        else:
            url = stack.enter_context(fresh_database(parse_url(server)[0]))
        db = Database(url, create=True)
        stack.callback(db.close)
        yield Bench(kind, url, db)


def _versions(benches: Sequence[Bench]) -> Iterator[str]:
    for bench in benches:
        function = "sqlite_version" if bench.kind == "SQLite" else "version"
        with bench.db.reading() as connection:
            version = connection.execute(sa.select(getattr(sa.func, function)())).scalar_one()
        yield f"{bench.kind} {str(version).removeprefix('PostgreSQL ').split()[0]}"


def main() -> None:
    """Measure on each database and print three tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option, kind in (("--postgres", "postgresql"), ("--mysql", "mysql")):
        parser.add_argument(option, metavar="URL", default=os.environ.get(URL_VARIABLES[kind]))
    parser.add_argument("--no-sqlite", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--short", action="store_true", help="two lines per database")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    servers = {"PostgreSQL": options.postgres, "MariaDB": options.mysql}
    wanted = {kind: server for kind, server in servers.items() if server}
    if not options.no_sqlite:
        wanted = {"SQLite": None, **wanted}
    with contextlib.ExitStack() as stack:
        benches = [stack.enter_context(_bench(*each)) for each in wanted.items()]
        print(conditions("storage", *_versions(benches)))
        _print_tables(benches, SHORT_CELLS if options.short else CELLS, options.rounds)


def _print_tables(benches: Sequence[Bench], cells: Sequence[Cell], rounds: int) -> None:
    counts = "beside, unfinished, twice, failed"
    rates = ("plain, trials/s", "hpo, trials/s", "hpo / plain")
    of_both = (f"plain: {counts}", f"hpo: {counts}")
    _head("Trials a second", "database", "sampler", "workers", "finished before", *rates, *of_both)
    for bench in benches:
        for cell in cells:
            _print_lines(f"{bench.kind}, {cell}", functools.partial(bench.throughput, cell, rounds))
    budget = f"{N_ASKED} trials, {N_KNOWN} of them known, {N_TOGETHER} workers"
    _head(budget, "database", "by", counts)
    for bench in benches:
        _print_lines(f"{bench.kind}, a budget", bench.exactness)
    sizes = [f"{size:,}, ms" for size in SIZES]
    _head("One worker, by finished trials", "database", "sampler", "part", *sizes, "growth")
    for bench in benches:
        _print_lines(f"{bench.kind}, claims", bench.claims)


if __name__ == "__main__":
    main()
