"""Write the results of `hpo reproduce --json` into docs/reports.md and draw docs/reports.svg.

    hpo reproduce --json > reproduced.json
    python docs/reports_table.py reproduced.json

A second argument names another folder with a reports.md.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hpo.commands.tables import REPRODUCTION_HEAD, reproduction_row


TABLE = re.compile(r"(?<=<!-- table -->\n).*?(?=<!-- end of table -->)", re.DOTALL)

LEFT, TOP, ROW, SCALE, MOST = 190, 40, 22, 18, 26
"""Pixels left of the plot, above it, of a row and of one percent; the greatest percentage shown."""

REPORTED, MEASURED = "#9a9a9a", "#0b66c3"


def main() -> None:
    """Write the table and the picture."""
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python docs/reports_table.py FILE.json [FOLDER]")
    records = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = Path(sys.argv[2]) if len(sys.argv) == 3 else Path(__file__).parent
    table = "".join(f"{line}\n" for line in lines(records))
    page = folder / "reports.md"
    page.write_text(TABLE.sub(lambda _: table, page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "reports.svg").write_text(picture(records), encoding="utf-8")


def lines(records: list[dict[str, Any]]) -> Iterator[str]:
    """The lines of the Markdown table."""
    rows: Iterable[tuple[str, ...]] = map(reproduction_row, records)
    for cells in (REPRODUCTION_HEAD, ("---",) * len(REPRODUCTION_HEAD), *rows):
        yield f"| {' | '.join(cells)} |"


def picture(records: list[dict[str, Any]]) -> str:
    """An SVG with a row for each network: reported and measured error with standard deviations."""
    bottom = TOP + ROW * len(records)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{x(MOST) + 20}" height="{bottom + 34}">',
        "<style>text { font: 12px sans-serif }</style>",
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="20" fill="{REPORTED}">● reported</text>',
        f'<text x="{LEFT + 80}" y="20" fill="{MEASURED}">● measured</text>',
        f'<text x="{LEFT + 160}" y="20">test error and standard deviation, %</text>',
    ]
    for percent in range(0, MOST + 1, 5):
        at = x(percent)
        parts.append(f'<path d="M{at} {TOP}V{bottom}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{at}" y="{bottom + 18}" text-anchor="middle">{percent}</text>')
    for number, record in enumerate(records):
        y = TOP + ROW * number + ROW / 2
        name = record["architecture"]
        parts.append(f'<text x="{LEFT - 10}" y="{y + 4}" text-anchor="end">{name}</text>')
        reported, measured = record["reported"], record["measured"] or {}
        parts += dot(reported["test_error"], reported["std"], y - 4, REPORTED)
        parts += dot(measured.get("mean"), measured.get("std"), y + 4, MEASURED)
    return "\n".join([*parts, "</svg>"]) + "\n"


def dot(mean: float | None, std: float | None, y: float, colour: str) -> Iterator[str]:
    """The dot and the line of one error and its standard deviation; nothing if `mean` is None."""
    if mean is None:
        return
    low, high = (x(100 * (mean + sign * (std or 0.0))) for sign in (-1, 1))
    yield f'<path d="M{low} {y}H{high}" stroke="{colour}" stroke-width="2"/>'
    yield f'<circle cx="{x(100 * mean)}" cy="{y}" r="3.5" fill="{colour}"/>'


def x(percent: float) -> float:
    """The horizontal position of an error, in pixels; at least the left edge of the plot."""
    return round(LEFT + SCALE * max(percent, 0.0), 1)


if __name__ == "__main__":
    main()
