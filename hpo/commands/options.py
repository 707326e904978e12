"""Options that several commands share, and the options for the settings of a study."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from hpo.commands.completion import study_names
from hpo.settings import Setting, StudySettings, annotations, settings


Storage = Annotated[
    str | None,
    typer.Option(
        envvar="HPO_STORAGE",
        help="URL of the database. Default: sqlite:///hpo.db in the working folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
StudyName = Annotated[
    str,
    typer.Argument(help="Name of the study.", show_default=False, autocompletion=study_names),
]
Trust = Annotated[
    list[str] | None,
    typer.Option(
        "--trust",
        metavar="MODULE",
        help="Module or package whose networks and data sets may be imported; may be repeated. "
        "Default: those in HPO_TRUST.",
        show_default=False,
    ),
]
NoForeignCode = Annotated[
    bool,
    typer.Option(
        "--no-foreign-code",
        help="Refuse networks and data sets that are not part of hpo, also those of --trust.",
        show_default=False,
    ),
]


def option(help_text: str, *names: str, **more: Any) -> Any:
    """An option whose help text already says its default."""
    return typer.Option(*names, help=help_text, show_default=False, **more)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `**settings` of a command by one option for each setting of a study.

    In the help these options stand before the command's keyword-only parameters. The command is
    called with the settings that the user gave.
    """

    @functools.wraps(command)
    def wrapper(**values: Any) -> None:
        left_out = [name for name in StudySettings.__annotations__ if values[name] is None]
        command(**{name: value for name, value in values.items() if name not in left_out})

    parameters = inspect.signature(command).parameters.values()
    first = [each for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    last = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
    signature = inspect.Signature([*first, *_settings_parameters(), *last])
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    return wrapper


def _settings_parameters() -> Iterator[inspect.Parameter]:
    types = annotations()
    for name, setting in settings().items():
        plain: Any = _command_line_type(types[name])
        annotation = Annotated[plain | None, _option_of(setting)]
        yield inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation
        )


def _option_of(setting: Setting) -> Any:
    default, flag = setting.otherwise or setting.default, setting.flag
    if isinstance(setting.default, bool):
        flags = f"--{flag}/--no-{flag}"
        return option(f"{setting.help} Default: {'yes' if default else 'no'}.", flags)
    return option(f"{setting.help} Default: {default}.", f"--{flag}")


def _command_line_type(hint: Any) -> type:
    """The type of the option for a setting: the plain type within the setting's annotation."""
    for plain in (bool, int, float, Path):
        if plain in _parts(hint):
            return plain
    return str


def _parts(hint: Any) -> Iterator[Any]:
    """The annotation itself and all annotations nested in it."""
    yield hint
    for part in get_args(hint):
        yield from _parts(part)
