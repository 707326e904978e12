"""Writes what `hpo reproduce --json` measured as the Markdown table of docs/reports.md.

hpo reproduce --json > reproduced.json; python docs/reports_table.py reproduced.json
"""

import json
import sys
from pathlib import Path

from hpo.screen import REPRODUCTION_HEAD, reproduction_row


def main() -> None:
    """Print the table."""
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/reports_table.py FILE.json")
    records = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    print(line(REPRODUCTION_HEAD))
    print(line(["---"] * len(REPRODUCTION_HEAD)))
    for record in records:
        print(line(reproduction_row(record)))


def line(cells: list[str] | tuple[str, ...]) -> str:
    """One line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
