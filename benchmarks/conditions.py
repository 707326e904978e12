"""The conditions of a measurement, and its progress messages."""

import datetime
import platform
import shlex
import sys

import optuna
import sqlalchemy
import torch

from hpo.machine import count_cores


def conditions(name: str, *more: str) -> str:
    """The date, the machine's cores, the versions (and those in `more`), and the command."""
    today = datetime.datetime.now(datetime.UTC).date()
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    features = torch.backends.cpu.get_cpu_capability()
    versions = [
        f"Python {platform.python_version()}",
        f"torch {torch.__version__}",
        f"Optuna {optuna.__version__}",
        f"SQLAlchemy {sqlalchemy.__version__}",
        *more,
    ]
    return f"{today}, {count_cores()} cores ({features}), {', '.join(versions)}, `{command}`"


def say(message: str) -> None:
    """Print a line of progress to stderr."""
    print(message, file=sys.stderr, flush=True)
