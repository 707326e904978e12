"""Searches by the real program, one worker each, on a database of their own, and what they left.

A search is a study without an end: its worker is stopped once so many fold-epochs are spent. An
attempt that is thrown away then is in no figure.
"""

import json
import math
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from hpo.architectures import architectures
from hpo.studies import lifecycle, recipes
from hpo.studies.status import study_trials
from hpo.subprocesses.spawn import SIGNALS
from search_spaces.recipe import Recipe


FOLDS = 3
LEASE_S = 60.0
POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Search:
    """What is searched, and how; with `known` the known configuration and the centre come first."""

    architecture: str
    sampler: str
    pruner: str
    seed: int
    known: bool = True

    @property
    def name(self) -> str:
        """Tells it from all others; fits a file's name."""
        parts = (self.architecture, self.sampler, self.pruner, str(self.seed))
        return "-".join(parts if self.known else (*parts, "unknown"))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial that has ended; `ended_s` counts from the search's first claim.

    `error` is the mean over the folds (None where it failed), `train_s` what the training of all
    `fold_epochs` took.
    """

    number: int
    state: str
    error: float | None
    fold_epochs: int
    train_s: float
    ended_s: float
    params: dict[str, Any]


@cache
def recipe(architecture: str) -> Recipe:
    """The architecture's own, as hpo has it."""
    found = recipes.own_recipe(architectures.get(architecture))
    assert found is not None
    return found


def run(search: Search, *, trials: int, fold_epochs: float = math.inf) -> list[Trial]:
    """The trials of a search in the order of their ends.

    It ends with so many trials, or once so many fold-epochs are spent.

    Raises:
        CalledProcessError: the worker failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "hpo.db"
        url = f"sqlite:///{database}"
        lifecycle.create_study(
            search.architecture,
            name="search",
            storage=url,
            space=None if search.known else _unknown(search.architecture, Path(folder)),
            trials=trials,
            folds=FOLDS,
            centre=search.known,
            sampler=search.sampler,
            pruner=search.pruner,
            seed=search.seed,
            lease_s=LEASE_S,
        )
        command = [sys.executable, "-m", "cli", "worker", "--study", "search"]
        command += ["--processes", "1", "--max-trials", str(trials)]
        environment = os.environ | {"HPO_STORAGE": url, "OMP_NUM_THREADS": "1"}
        with (
            (Path(folder) / "log").open("w+") as log,
            subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, preexec_fn=_hearing
            ) as worker,
        ):
            try:
                _wait(worker, database, fold_epochs)
            finally:
                worker.terminate()
            if worker.wait() not in (0, 128 + signal.SIGTERM):
                log.seek(0)
                raise subprocess.CalledProcessError(worker.returncode, command, log.read())
        ended = _ended(database)
        params = {each["number"]: each["params"] for each in study_trials("search", url)}
    return [Trial(params=params[each["number"]], **each) for each in ended]


def _hearing() -> None:
    """Unblock the signals that `hpo.subprocesses.pool` blocks, also for child processes."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _unknown(architecture: str, folder: Path) -> Path:
    """A file with the architecture's recipe, its known configurations left out."""
    own, path = recipe(architecture), folder / "recipe.yaml"
    training = {"epochs": own.epochs, "batch_size": own.batch_size}
    path.write_text(
        yaml.safe_dump(
            {
                "architecture": architecture,
                "training": {name: each for name, each in training.items() if each is not None},
                "parameters": own.space.to_json(),
            }
        )
    )
    return path


def _wait(worker: subprocess.Popen[bytes], database: Path, fold_epochs: float) -> None:
    """Until the worker has left, or so many fold-epochs are spent."""
    while worker.poll() is None:
        time.sleep(POLL_S)
        spent = sum(each["fold_epochs"] for each in _ended(database))
        if spent >= fold_epochs:
            return


def _ended(database: Path) -> list[dict[str, Any]]:
    """What stands in the tables of the trials that have ended, in the order of their ends.

    The last write of a trial renewed its lease, which tells when it was. A failed trial has no
    trainings, but the number of epochs that all its folds had done.
    """
    query = (
        "SELECT trial AS number, state, c.error, claimed_at, expires_at, n_epochs, "
        "coalesce(sum(json_array_length(curve)), 0) AS fold_epochs, "
        "coalesce(sum(train_s), 0.0) AS train_s "
        "FROM hpo_claims c LEFT JOIN hpo_trainings ON claim_id = c.id "
        "WHERE kind = 'trial' AND state != 'live' GROUP BY c.id ORDER BY expires_at"
    )
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute(query)]
    begun = min((row["claimed_at"] for row in rows), default=0.0)
    for row in rows:
        row["ended_s"] = round(row.pop("expires_at") - LEASE_S - begun, 3)
        n_epochs, _ = row.pop("n_epochs"), row.pop("claimed_at")
        if row["state"] == "failed":
            row["fold_epochs"] = n_epochs * FOLDS
    return rows


def kept(
    search: Search, folder: Path, *, trials: int, fold_epochs: float = math.inf
) -> list[Trial]:
    """The same as `run`; a file in the folder keeps it, so that no search is done twice."""
    path = folder / f"{search.name}.json"
    if path.exists():
        found = [Trial(**each) for each in json.loads(path.read_text())]
        if len(found) >= trials or sum(each.fold_epochs for each in found) >= fold_epochs:
            return found
    done = run(search, trials=trials, fold_epochs=fold_epochs)
    folder.mkdir(parents=True, exist_ok=True)
    write(path, [asdict(each) for each in done])
    return done


def write(path: Path, value: object) -> None:
    """As JSON, each trial on a line; a program that is ended meanwhile leaves no half of a file."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(value).replace('{"number"', '\n{"number"') + "\n")
    part.replace(path)
