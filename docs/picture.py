"""Draw docs/picture.svg, the README's picture: a real study on digits, halfway and complete.

python docs/picture.py
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.text import Text

from hpo.reports.study_progress import StudyProgress
from hpo.studies.lifecycle import open_database, open_study
from hpo.studies.status import show


PICTURE = Path(__file__).parent / "picture.svg"
WIDTH = 100
WEB_FONTS = re.compile(r"@font-face \{.*?\}", re.DOTALL)
"""Removed from the picture, which must load nothing from the web."""

CREATE = ("study", "create", "--architecture", "siamese", "--dataset", "digits")
SMALL = ("--trials", "12", "--folds", "3", "--epochs", "10", "--repeats", "5")


def main() -> None:
    """Run the study and draw what a terminal shows."""
    console = Console(record=True, width=WIDTH, file=sys.stderr, force_terminal=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HPO_STORAGE"] = f"sqlite:///{folder}/hpo.db"
        _print_command(console, *CREATE, *SMALL)
        _hpo(*CREATE, *SMALL)
        _print_command(console, "worker", "--study", "siamese")
        _worker_halfway(console)
        _print_command(console, "study", "show", "siamese")
        console.print(Text.from_ansi(_hpo("study", "show", "siamese")))
    picture = console.export_svg(title="hpo")
    PICTURE.write_text(WEB_FONTS.sub("", picture), encoding="utf-8")


def _hpo(*arguments: str) -> str:
    command = [sys.executable, "-m", "cli", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def _print_command(console: Console, *arguments: str) -> None:
    console.print(Text("$ ", "green") + Text(f"hpo {' '.join(arguments)}", "bold"))


def _worker_halfway(console: Console) -> None:
    """Start the workers, draw their progress when two thirds of the trials are done, then wait."""
    workers = subprocess.Popen([sys.executable, "-m", "cli", "worker", "--study", "siamese"])
    db = open_database()
    study, progress = open_study(db, "siamese"), StudyProgress(db, "siamese")
    progress.frame()
    while show(db, study).trials.finished < 2 * study.n_trials // 3 and workers.poll() is None:
        Event().wait(0.2)
    console.print(progress.frame())
    console.print()
    if workers.wait() != 0:
        sys.exit("the workers failed")


if __name__ == "__main__":
    main()
