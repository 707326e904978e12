"""The `hpo` command: its groups, its exit codes, its one line for an error."""

import os
import sys
from importlib.metadata import version
from typing import Annotated, NoReturn

import typer

from hpo.commands.operate import operate_app
from hpo.commands.run import run_app
from hpo.commands.study import study_app


app = typer.Typer(
    help="""Compare neural network architectures fairly: the same search for each, the test set
never chooses, results with intervals.

Begin with: hpo study create --architecture siamese --dataset digits; hpo worker --study siamese""",
    pretty_exceptions_enable=False,
)
app.add_typer(study_app, name="study")
app.add_typer(run_app)
app.add_typer(operate_app)


def print_version(is_wanted: bool) -> None:
    """Print the version and leave, where it is asked for."""
    if is_wanted:
        print(f"hpo {version('hpo')}")
        raise typer.Exit


@app.callback()
def hpo(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Options of the command itself."""


def main() -> None:
    """Run the command; a mistake of the user's is one line on stderr and an exit code."""
    arguments = sys.argv[1:] or ["--help"]
    try:
        code = app(arguments, prog_name="hpo", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        fail(complaint(error), code)
    finally:
        settle_stderr()


def settle_stderr() -> None:
    """Let what nobody reads any more be lost: Python would leave with a code of its own for it."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def complaint(error: Exception) -> str:
    """What is wrong; where the command line itself is, also where to look it up."""
    words: str = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    return words if context is None else f"{words.rstrip('.?')}; see: {context.command_path} --help"


def fail(words: str, code: int) -> NoReturn:
    """Leave with one line on stderr."""
    print(f"error: {' '.join(words.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
