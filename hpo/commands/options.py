"""What the commands share: options, and an option for each setting of a study."""

import functools
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer

from hpo.commands.completion import study_names
from hpo.settings import Setting, StudySettings


Storage = Annotated[
    str | None,
    typer.Option(
        envvar="HPO_STORAGE",
        help="URL of the database. Default: sqlite:///hpo.db in the working folder.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StudyName = Annotated[
    str,
    typer.Argument(help="The study's name.", show_default=False, autocompletion=study_names),
]


def option(help_text: str, *names: str, **more: Any) -> Any:
    """An option whose help text says its default itself."""
    return typer.Option(*names, help=help_text, show_default=False, **more)


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each setting of a study, in place of its `**settings`.

    The command gets the settings whose options were used.
    """

    @functools.wraps(command)
    def called(**values: Any) -> None:
        left_out = [name for name in StudySettings.__annotations__ if values[name] is None]
        command(**{name: value for name, value in values.items() if name not in left_out})

    own = list(inspect.signature(command).parameters.values())
    fixed = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
    first = [each for each in fixed if each.default is inspect.Parameter.empty]
    last = [each for each in fixed if each not in first]
    signature = inspect.Signature([*first, *_settings_parameters(), *last])
    called.__signature__ = signature  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in signature.parameters.values()}
    return called


def _settings_parameters() -> Iterator[inspect.Parameter]:
    hints = get_type_hints(StudySettings, include_extras=True)
    for name, hint in hints.items():
        (setting,) = (part for part in hint.__metadata__ if isinstance(part, Setting))
        plain: Any = _command_line_type(hint)
        annotation = Annotated[plain | None, _option_of(name, setting)]
        yield inspect.Parameter(
            name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=annotation
        )


def _option_of(name: str, setting: Setting) -> Any:
    default = setting.otherwise or setting.default
    flag = setting.flag or name.replace("_", "-")
    if isinstance(setting.default, bool):
        flags = f"--{flag}/--no-{flag}"
        return option(f"{setting.help} Default: {'yes' if default else 'no'}.", flags)
    return option(f"{setting.help} Default: {default}.", f"--{flag}")


def _command_line_type(hint: Any) -> type:
    """The type as which the command line reads a setting: the plain type in its annotation."""
    for plain in (bool, int, float, Path):
        if plain in _parts(hint):
            return plain
    return str


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)
