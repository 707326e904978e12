"""A study under faults: made by the `hpo` command, read by SQL alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from storage.backends import parse_url
from tests.chaos.fleet import Fleet
from tests.chaos.network import Harm, wide_awake
from tests.chaos.sizes import Size
from tests.support.tiny_studies import must


NAME = "chaos"
EPOCHS, FOLDS = 3, 2
RECIPE = """\
architecture: tests.chaos.network:Constant
parameters:
  x: {{type: float, low: 0.0, high: 1.0}}
  pace_s: {pace_s}
  harm: {harm}
  above: {above}
  below: {below}
known: [{{x: 0.475}}]
"""

Row = dict[str, Any]
Piece = tuple[str, int, int]
"""Kind, trial and part of a piece of work."""


@dataclass(frozen=True)
class Study:
    """One study in the database of a scenario."""

    url: str
    folder: Path
    size: Size

    @cached_property
    def engine(self) -> sa.Engine:
        """An engine of the test's own, with no connection kept open."""
        options = {"timeout": 60} if self.url.startswith("sqlite") else {}
        return sa.create_engine(
            parse_url(self.url)[0], poolclass=sa.NullPool, connect_args=options
        ).execution_options(isolation_level="AUTOCOMMIT")

    def create(
        self,
        *,
        pace_s: float | None = None,
        harm: Harm = "none",
        above: float = 0.45,
        below: float = 0.5,
        **flags: Any,
    ) -> None:
        """Create it by the command line."""
        recipe = self.folder / "recipe.yaml"
        pace_s = self.size.pace_s if pace_s is None else pace_s
        recipe.write_text(RECIPE.format(pace_s=pace_s, harm=harm, above=above, below=below))
        settings = {
            "architecture": "tests.chaos.network:Constant",
            "dataset": "tests.chaos.network:Points",
            "space": recipe,
            "name": NAME,
            "trials": self.size.n_trials,
            "repeats": self.size.n_repeats,
            "epochs": EPOCHS,
            "folds": FOLDS,
            "pruner": "hyperband",
            "lease": self.size.lease_s,
            "max_attempts": 50,
            "storage": self.url,
            **flags,
        }
        words = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        with wide_awake():
            must("study", "create", *words)

    def fleet(self, *flags: str, named: bool = True) -> Fleet:
        """Workers for it, none of which runs yet."""
        return Fleet(self.url, self.folder, NAME if named else None, flags)

    @contextmanager
    def at_work(self, *flags: str, n: int | None = None) -> Iterator[Fleet]:
        """Workers for it, as many as the scenario has; none is left at the end."""
        fleet = self.fleet(*flags)
        try:
            fleet.start(self.size.n_workers if n is None else n)
            yield fleet
        finally:
            fleet.kill()

    def rows(self, query: str, **values: Any) -> list[Row]:
        """What a query of this study's finds; `:study` in it is its number."""
        with self.engine.connect() as connection:
            if ":study" in query:
                number = sa.text("SELECT study_id FROM hpo_studies WHERE name = :name")
                values["study"] = connection.execute(number, {"name": NAME}).scalar_one()
            found = connection.execute(sa.text(query), values).all()
        return [dict(row._mapping) for row in found]

    def exists(self) -> bool:
        """Whether it is there."""
        return self.rows("SELECT * FROM hpo_studies WHERE name = :name", name=NAME) != []

    def work(self) -> list[Row]:
        """Our rows of its work, trials by number, then test runs by seed."""
        return self.rows(
            "SELECT * FROM hpo_claims WHERE study_id = :study ORDER BY kind DESC, trial, part"
        )

    def held(self, pid: int | None = None) -> list[Row]:
        """The work that the worker with that process holds; that anybody holds."""
        named = "%" if pid is None else f"%-{pid}-%"
        return self.rows(
            "SELECT * FROM hpo_claims WHERE study_id = :study AND state = 'live' "
            "AND expires_at > 0 AND worker LIKE :worker",
            worker=named,
        )

    def parameters(self) -> dict[int, float]:
        """The x of each trial that has one, by number."""
        found = self.rows(
            "SELECT number, param_value FROM trials JOIN trial_params USING (trial_id) "
            "WHERE study_id = :study AND param_name = 'x'"
        )
        return {row["number"]: row["param_value"] for row in found}

    def n_finished(self) -> int:
        """How much work has an outcome."""
        query = "SELECT id FROM hpo_claims WHERE study_id = :study AND state <> 'live'"
        return len(self.rows(query))

    def trials(self) -> list[Row]:
        """What `hpo study trials --json` lists."""
        listed: list[Row] = json.loads(must("study", "trials", NAME, "--json", *self.storage))
        return listed

    def show(self) -> Row:
        """What `hpo study show --json` says."""
        shown: Row = json.loads(must("study", "show", NAME, "--json", *self.storage))
        return shown

    @property
    def storage(self) -> tuple[str, str]:
        """The flag that names its database."""
        return ("--storage", self.url)


def piece(row: Row) -> Piece:
    """Which piece of work a row, or an event, is of."""
    return row["kind"], row["trial"], max(row["part"], 0)
