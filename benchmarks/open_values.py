"""Chooses values that a report leaves open, without a look at any test image.

Each candidate is trained on the first half of examples that are drawn from the training pool, and
measured on the other half; the repeats' draws, initializations and batches are the same for all
candidates. Prints a line for each candidate to stderr, and JSON to stdout:

    python benchmarks/open_values.py siamese candidates.yaml --repeats 3 --processes 2
    python benchmarks/open_values.py baseline '[{params: {learning_rate: 0.001}, epochs: 50}]'

A candidate holds `params`, `epochs` and `batch_size`; without the latter two it has those of the
recipe, else 25 and 100.
"""

import argparse
import json
import sys
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
import yaml

from hpo import creation
from hpo.architectures import architectures, count_parameters
from hpo.errors import HpoError, InputError
from hpo.limits import count_cores
from hpo.metrics import error_of
from hpo.pool import spread
from hpo.protocol import DEFAULT_BATCH_SIZE, DEFAULT_EPOCHS
from hpo.seeds import derive
from hpo.setting import Setting
from hpo.statistics import mean, summarize
from hpo.training import DivergedError, Split, Training, repeatable
from search_spaces import RecipeError
from search_spaces.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One training: a candidate of an architecture, and which of the repeats."""

    architecture: str
    candidate: int
    params: dict[str, Any]
    epochs: int
    batch_size: int
    repeat: int


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The error of the last epoch, None where the training failed, and all of the curve."""

    error: float | None
    curve: tuple[float, ...]
    n_parameters: int
    train_s: float
    failure: str | None


def train(piece: Piece) -> Measured:
    """Train a candidate on one half of a draw from the training pool, measure on the other."""
    cpu = torch.device("cpu")
    with repeatable():
        split = draw(piece.architecture, piece.repeat, cpu)
        training = Training(setting(piece), split, cpu, ("open values", piece.repeat))
        failure = None
        try:
            for _ in range(setting(piece).epochs):
                training.run_epoch()
        except DivergedError as error:
            failure = str(error)
    return Measured(
        error=None if failure else training.curve[-1],
        curve=tuple(training.curve),
        n_parameters=count_parameters(training.model),
        train_s=training.train_s,
        failure=failure,
    )


def draw(architecture: str, repeat: int, device: torch.device) -> Split:
    """Two disjoint halves of one draw, of the sizes that a test run has; no test example in it."""
    _, data = creation.dataset(None, architectures.get(architecture))
    n_train, n_held_out = data.default_train_size, data.default_test_size
    drawn = data.draw_train(n_train + n_held_out, derive("open values", repeat))
    first, second = torch.arange(n_train), torch.arange(n_train, n_train + n_held_out)
    return Split.of(drawn.subset(first), drawn.subset(second), device, error_of(data))


def setting(piece: Piece) -> Setting:
    """What the training is of; epochs and batch size among the parameters go first."""
    duration = {"epochs": piece.epochs, "batch_size": piece.batch_size}
    given = {name: piece.params[name] for name in duration if name in piece.params}
    entry = architectures.get(piece.architecture)
    return Setting(architecture=entry, params=piece.params, **(duration | given))


def read(texts: list[str]) -> list[dict[str, Any]]:
    """The candidates of all files and texts, each one candidate or a list of them."""
    candidates: list[Any] = []
    for text in texts:
        written = yaml.safe_load(text if text[:1] in "[{" else Path(text).read_text())
        candidates += written if isinstance(written, list) else [written]
    for number, candidate in enumerate(candidates):
        if not isinstance(candidate, dict) or set(candidate) - {"params", "epochs", "batch_size"}:
            raise InputError(f"candidate {number} should hold params, epochs, batch_size alone")
    return candidates


def pieces(architecture: str, candidates: list[dict[str, Any]], repeats: int) -> list[Piece]:
    """All trainings, candidate by candidate; each candidate is checked."""
    entry = architectures.get(architecture)
    found = creation.own_recipe(entry)
    creation.dataset(None, entry)  # its files are fetched before any process starts
    epochs = (found and found.epochs) or DEFAULT_EPOCHS
    batch_size = (found and found.batch_size) or DEFAULT_BATCH_SIZE
    todo = []
    for number, candidate in enumerate(candidates):
        space = SearchSpace.from_json(candidate.get("params", {}))
        creation.check_names(space, entry)
        piece = Piece(
            architecture=architecture,
            candidate=number,
            params=space.decode({}),
            epochs=candidate.get("epochs", epochs),
            batch_size=candidate.get("batch_size", batch_size),
            repeat=0,
        )
        setting(piece).try_build()
        todo += [replace(piece, repeat=repeat) for repeat in range(repeats)]
    return todo


def row(piece: Piece, measured: list[Measured], reported: float | None) -> dict[str, Any]:
    """One candidate's result."""
    error = summarize([each.error for each in measured if each.error is not None])
    gap = None if reported is None or error is None else error.mean - reported
    return {
        "params": piece.params,
        "epochs": setting(piece).epochs,
        "batch_size": setting(piece).batch_size,
        "error": None if error is None else asdict(error),
        "reported": reported,
        "distance": gap,
        "n_parameters": measured[0].n_parameters,
        "train_s": mean(each.train_s for each in measured),
        "failures": [each.failure for each in measured if each.failure],
        "curves": [each.curve for each in measured],
    }


def line(row: dict[str, Any]) -> str:
    """One candidate for a person, the same for errors of any size."""
    from hpo.formatting import params, percent

    error, gap = row["error"], row["distance"]
    spread_ = f" ± {100 * error['std']:.2f}" if error and error["std"] is not None else ""
    parts = [
        f"{percent(error and error['mean']):>8}{spread_}",
        "" if gap is None else f"{100 * gap:+.2f} from {percent(row['reported'])}",
        f"{row['train_s']:.1f} s",
        f"{row['n_parameters']:,} parameters",
        f"{row['epochs']} epochs of {row['batch_size']}",
        params(row["params"]),
        *row["failures"],
    ]
    return " · ".join(part for part in parts if part)


def tell(done: list[tuple[Piece, Measured]], reported: float | None) -> None:
    """Print all that is done, candidate by candidate."""
    rows = []
    for _, group in groupby(sorted(done, key=place), key=lambda each: each[0].candidate):
        members = list(group)
        rows.append(row(members[0][0], [measured for _, measured in members], reported))
        print(line(rows[-1]), file=sys.stderr)
    print("[", ",\n".join(json.dumps(each) for each in rows), "]", sep="\n")


def place(each: tuple[Piece, Measured]) -> tuple[int, int]:
    """Where a training stands in the output, whenever it was done."""
    return each[0].candidate, each[0].repeat


def count(text: str) -> int:
    """A number from 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("should be at least 1")
    return number


def main() -> None:
    """Train all candidates and print what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("architecture")
    parser.add_argument("candidates", nargs="+", help="files, or YAML that begins with [ or {")
    parser.add_argument("--repeats", type=count, default=3)
    parser.add_argument("--processes", type=count, default=count_cores())
    parser.add_argument("--reported", type=float, help="the report's error; default: the recipe's")
    options = parser.parse_args()
    found = creation.own_recipe(architectures.get(options.architecture))
    reported = options.reported
    if reported is None and found is not None and found.reported is not None:
        reported = found.reported.test_error
    todo = pieces(options.architecture, read(options.candidates), options.repeats)
    done: list[tuple[Piece, Measured]] = []
    try:
        for piece, measured in spread(train, todo, options.processes):
            done.append((piece, measured))
            what = f"candidate {piece.candidate}, repeat {piece.repeat}"
            print(f"{len(done)} of {len(todo)}: {what}: {measured.error}", file=sys.stderr)
    finally:
        tell(done, reported)


if __name__ == "__main__":
    try:
        main()
    except (HpoError, RecipeError, OSError, yaml.YAMLError) as error:
        sys.exit(f"error: {error}")
