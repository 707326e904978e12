"""Run searches by the real `hpo worker` and read their trials from the database.

Each search has one worker and its own database. The worker is stopped once a number of fold-epochs
is spent. A trial that runs at that moment is discarded and not counted.
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
from hpo.studies.trials import study_trials
from hpo.subprocesses.spawn import SIGNALS
from search_spaces.recipe import Recipe


FOLDS = 3
LEASE_S = 60.0

POLL_S = 0.2
"""Seconds between two looks at the spent fold-epochs."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """One search. With `known`, its first trials are the known configuration and the centre."""

    architecture: str
    sampler: str
    pruner: str
    seed: int
    known: bool = True

    @property
    def name(self) -> str:
        """A name that no other search has, which can be the name of a file."""
        parts = (self.architecture, self.sampler, self.pruner, str(self.seed))
        return "-".join(parts if self.known else (*parts, "unknown"))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One trial that has ended.

    `error` is the mean over the folds; None if the trial failed. `train_s` is the seconds of
    training of all its `fold_epochs`. `ended_s` is the seconds from the search's first claim to its
    end.
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
    """The architecture's own recipe."""
    own_recipe = recipes.own_recipe(architectures.get(architecture))
    assert own_recipe is not None
    return own_recipe


def run(search: Search, *, trials: int, fold_epochs: float = math.inf) -> list[Trial]:
    """Run a search; return its trials in the order in which they ended.

    The search ends after `trials` trials, or once `fold_epochs` fold-epochs are spent.

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
            space=None
            if search.known
            else _recipe_without_known(search.architecture, Path(folder)),
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
                command, stdout=log, stderr=log, env=environment, preexec_fn=_unblock_signals
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
        params = {row["number"]: row["params"] for row in study_trials("search", url)}
    return [Trial(params=params[row["number"]], **row) for row in ended]


def _unblock_signals() -> None:
    """Unblock the signals that `hpo.subprocesses.pool` blocks, also for child processes."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _recipe_without_known(architecture: str, folder: Path) -> Path:
    """Write the architecture's recipe without its known configurations."""
    complete, path = recipe(architecture), folder / "recipe.yaml"
    training = {"epochs": complete.epochs, "batch_size": complete.batch_size}
    path.write_text(
        yaml.safe_dump(
            {
                "architecture": architecture,
                "training": {name: value for name, value in training.items() if value is not None},
                "parameters": complete.space.to_json(),
            }
        )
    )
    return path


def _wait(worker: subprocess.Popen[bytes], database: Path, fold_epochs: float) -> None:
    """Wait until the worker has exited or `fold_epochs` fold-epochs are spent."""
    while worker.poll() is None:
        time.sleep(POLL_S)
        spent = sum(row["fold_epochs"] for row in _ended(database))
        if spent >= fold_epochs:
            return


def _ended(database: Path) -> list[dict[str, Any]]:
    """Read the trials that have ended from the tables, in the order in which they ended.

    The last write of a trial renewed its lease, so the end of the lease gives the time of the
    write. A failed trial has no rows of trainings; its row has the number of epochs that all its
    folds did.
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
    """Like `run`, but a file in the folder keeps the trials, so that no search is run twice."""
    path = folder / f"{search.name}.json"
    if path.exists():
        stored = [Trial(**trial) for trial in json.loads(path.read_text())]
        if len(stored) >= trials or sum(trial.fold_epochs for trial in stored) >= fold_epochs:
            return stored
    done = run(search, trials=trials, fold_epochs=fold_epochs)
    folder.mkdir(parents=True, exist_ok=True)
    write(path, [asdict(trial) for trial in done])
    return done


def write(path: Path, value: object) -> None:
    """Write JSON, one trial per line. The file appears complete or not at all."""
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(value).replace('{"number"', '\n{"number"') + "\n")
    part.replace(path)
