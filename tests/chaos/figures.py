"""The figures of the scenarios as a table, and the page that holds it."""

import json
import os
import platform
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.support.sources import ROOT


PAGE = ROOT / "docs" / "reliability.md"
TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
HEAD = ("fault", "database", "work", "what was done", "taken over", "after, 95 % / worst", "wall")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What one scenario measured on one database; `latencies_s` are seconds to the next worker."""

    fault: str
    database: str
    work: str
    done: str
    n_taken_over: int
    latencies_s: tuple[float, float] | None
    wall_s: float

    def cells(self) -> tuple[str, ...]:
        """Its row of the table."""
        after = "" if self.latencies_s is None else " / ".join(f"{s:.1f}" for s in self.latencies_s)
        return (
            self.fault,
            self.database,
            self.work,
            self.done,
            str(self.n_taken_over),
            f"{after} s" if after else "",
            f"{self.wall_s:.0f} s",
        )


@dataclass
class Figures:
    """All figures of a run."""

    seed: int
    is_short: bool
    rows: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> str:
        """What one of several processes measured."""
        return json.dumps({"rows": [asdict(row) for row in self.rows], "versions": self.versions})

    def add_json(self, text: str) -> None:
        """Take what another process measured; faults stay together, in the order of their tests."""
        told = json.loads(text)
        self.rows += [Figure(**row) for row in told.get("rows", [])]
        self.versions |= told.get("versions", {})

    def lines(self) -> list[str]:
        """The Markdown table, and under it the conditions."""
        faults = list(dict.fromkeys(row.fault for row in self.rows))
        rows = sorted(
            self.rows, key=lambda row: (faults.index(row.fault), row.database != "SQLite")
        )
        cells = [HEAD, ("---",) * len(HEAD), *(row.cells() for row in rows)]
        return [*(f"| {' | '.join(each)} |" for each in cells), "", self.conditions()]

    def conditions(self) -> str:
        """When, on what and by which command this was measured."""
        command = f"make chaos ARGS='{'--short ' if self.is_short else ''}--seed {self.seed}'"
        servers = ", ".join(sorted(self.versions.values()))
        today = datetime.now(UTC).date().isoformat()
        python = platform.python_version()
        return (
            f"Measured on {today} by `{command}` with {os.cpu_count()} cores, Python {python}, "
            f"{servers}."
        )

    def write(self, page: Path = PAGE) -> None:
        """Put the table into the page."""
        table = "".join(f"{line}\n" for line in self.lines())
        text = page.read_text(encoding="utf-8")
        page.write_text(TABLE.sub(lambda _: table, text), encoding="utf-8")
