"""The command `hpo`: its command groups, its exit codes and its error messages."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperCommand

from hpo.commands.hints import hint
from hpo.commands.operate import operate_app
from hpo.commands.run import run_app, worker
from hpo.commands.study import study_app
from hpo.errors import HpoError, InputError
from hpo.events import attached, captured_warnings, printer
from hpo.io import streams
from hpo.io.stdout import reserved
from hpo.machine import __version__


app = typer.Typer(
    help="""Compare neural network architectures fairly: the same search for every architecture, no
choice by the test set, and a confidence interval for every test error.

Begin with: hpo study create --architecture siamese --dataset digits; hpo worker --study siamese""",
    pretty_exceptions_enable=False,
)
app.add_typer(study_app, name="study")
app.add_typer(run_app)
app.add_typer(operate_app)


class DataCommand(TyperCommand):
    """A command that has stdout for its data alone: see `hpo.io.stdout`."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; its help was printed before."""
        with reserved():
            return super().invoke(ctx)


def reserve_stdout(group: typer.Typer) -> None:
    """Make each command of the group, and of the groups in it, a `DataCommand`.

    The worker has no data; what a network prints must not come between the lines of its log.
    """
    for command in group.registered_commands:
        if command.callback is not worker:
            command.cls = DataCommand
    for inner in group.registered_groups:
        if inner.typer_instance is not None:
            reserve_stdout(inner.typer_instance)


reserve_stdout(app)


def print_version(is_wanted: bool) -> None:
    """Print the version and exit if the option `--version` is given."""
    if is_wanted:
        print(f"hpo {__version__}")
        raise typer.Exit


@app.callback()
def hpo(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """The options of `hpo` itself."""


def main() -> None:
    """Run the command and exit.

    An error that hpo or Typer foresees is printed as one line on stderr and sets the exit code. Any
    other error is a bug: Python prints its traceback.
    """
    streams.protect()
    arguments = sys.argv[1:] or ["--help"]
    try:
        check_encoding(arguments)
        with attached(printer("text")), captured_warnings():
            code = app(arguments, prog_name="hpo", standalone_mode=False)
        flush_stdout()
        sys.exit(code)
    except BrokenPipeError:  # the program that reads stdout has ended
        sys.exit(1)
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        fail(error_message(error), code)


def flush_stdout() -> None:
    """Write what stdout still holds, unless a network of the user has closed or removed it."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def check_encoding(arguments: list[str]) -> None:
    """Check that the arguments and the variables `HPO_...` are UTF-8 text.

    No database can store other text, and JSON and YAML cannot hold it.

    Raises:
        InputError: one of them has a byte that is not UTF-8.
    """
    for what, text in [*(("argument", text) for text in arguments), *_variables()]:
        if any("\ud800" <= char <= "\udfff" for char in text):  # how Python decodes such a byte
            raise InputError(f"the {what} {text!r} is not UTF-8 text; rename it or type it again")


def _variables() -> Iterator[tuple[str, str]]:
    """The environment variables that hpo reads: a name for messages, and the value."""
    for name, value in os.environ.items():
        if name.startswith("HPO_"):
            yield f"value of {name}", value


def error_message(error: Exception) -> str:
    """The message of an error; for an error in the command line, also the help to look at."""
    message: str = error.format_message() if hasattr(error, "format_message") else str(error)
    context = getattr(error, "ctx", None)
    if context is None:
        return message
    if (use := hint(message, context.command_path)) is not None:
        message = f"{message.partition(' (')[0].partition(' Did')[0].rstrip('.')}; {use}"
    return f"{message.rstrip('.?')}; see: {context.command_path} --help"


def fail(message: str, code: int) -> NoReturn:
    """Print the error message as one line on stderr and exit with `code`.

    The message may repeat what the user typed, such as a storage URL in the wrong place. The
    password in a URL is therefore masked.
    """
    without_password = re.sub(r"(://[^\s:/@]*):\S*@", r"\1:***@", message)
    print(f"error: {streams.one_line(without_password)}", file=sys.stderr)
    with suppress(HpoError, OSError):  # the exit code says already that the output is not whole
        flush_stdout()
    sys.exit(code)


if __name__ == "__main__":
    main()
