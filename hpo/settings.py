"""The settings of a study. Each has its name, type, range, default and help here and only here.

The options of `hpo study create`, the keywords of `hpo.create_study`, the fields of the stored
protocol and the command in an export come from this file.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import TypedDict

from hpo.errors import InputError
from hpo.registry import unknown


MAX_COUNT = 1_000_000

Trials: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Folds: TypeAlias = Annotated[int, Ge(2)]
Epochs: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
BatchSize: TypeAlias = Annotated[int, Ge(2)]
Repeats: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Attempts: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Size: TypeAlias = Annotated[int, Ge(1)]
Seed: TypeAlias = Annotated[int, Ge(0), Lt(2**63)]
LeaseSeconds: TypeAlias = Annotated[float, Gt(0), Le(86400)]

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""bfloat16: the training pass computes in bfloat16 where torch's autocast finds that safe. Weights,
gradients and the optimizer stay float32. Errors are always measured in float32."""


@dataclass(frozen=True)
class Setting:
    """What is said of a setting besides its name, type and range.

    `default` is the value of a setting that was left out. Where it is None, the value comes from
    elsewhere, and `otherwise` says from where. `flag` is the option's name where it is not the
    setting's.
    """

    help: str
    default: Any = None
    otherwise: str = ""
    flag: str = ""


class StudySettings(TypedDict, total=False):
    """The settings of a study; each may be left out."""

    name: Annotated[str | None, Setting("Name of the study.", otherwise="the architecture's")]
    dataset: Annotated[
        str | None,
        Setting(
            "Data set: mnist, digits, disk or package.module:factory.",
            otherwise="the architecture's own",
        ),
    ]
    space: Annotated[
        Path | str | None,
        Setting("File of a recipe: what is searched.", otherwise="the architecture's own recipe"),
    ]
    trials: Annotated[
        Trials | None,
        Setting("Trials of the search.", otherwise="50, or all points of a grid"),
    ]
    folds: Annotated[Folds, Setting("Folds of the cross-validation.", 5)]
    epochs: Annotated[
        Epochs | None,
        Setting("Epochs of one training.", otherwise="the recipe's, else 25"),
    ]
    batch_size: Annotated[
        BatchSize | None,
        Setting("Examples in a batch.", otherwise="the recipe's, else 100"),
    ]
    precision: Annotated[
        Precision, Setting("Precision of the training pass: float32 or bfloat16.", "float32")
    ]
    repeats: Annotated[Repeats, Setting("Test runs of the chosen trial, a seed each.", 15)]
    max_attempts: Annotated[
        Attempts, Setting("Attempts before a trial that crashes its worker counts as failed.", 3)
    ]
    train_size: Annotated[
        Size | None, Setting("Training examples.", otherwise="the data set's default size")
    ]
    test_size: Annotated[
        Size | None, Setting("Test examples.", otherwise="the data set's default size")
    ]
    sampler: Annotated[str, Setting("Sampler: tpe, random, grid, gp or cmaes.", "tpe")]
    pruner: Annotated[str, Setting("Pruner: forgiving, hyperband, median or none.", "forgiving")]
    centre: Annotated[
        bool, Setting("Try the centre of the space after the known configurations.", True)
    ]
    seed: Annotated[Seed, Setting("Seed of all random draws.", 0)]
    lease_s: Annotated[
        LeaseSeconds,
        Setting("Seconds until the work of a silent worker is taken over.", 60.0, flag="lease"),
    ]


def settings() -> dict[str, Setting]:
    """Every setting by name, in the order in which they are shown."""
    hints = get_type_hints(StudySettings, include_extras=True)
    return {name: _setting(hint) for name, hint in hints.items()}


def _setting(hint: Any) -> Setting:
    (found,) = [part for part in hint.__metadata__ if isinstance(part, Setting)]
    return found


def defaults() -> dict[str, Any]:
    """The settings that have a default of their own, with it."""
    found = settings().items()
    return {name: setting.default for name, setting in found if setting.default is not None}


def given(values: Mapping[str, Any]) -> StudySettings:
    """Settings as a user gave them, checked one by one; None stands for one that was left out.

    Raises:
        InputError: a setting is unknown, of the wrong type or out of its range.
    """
    from pydantic import TypeAdapter, ValidationError  # `hpo --help` does without

    hints = get_type_hints(StudySettings, include_extras=True)
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise InputError(unknown("setting", name, hints))
        if value is None:
            continue
        try:
            checked[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            raise out_of_range(name, error) from error
    return cast(StudySettings, checked)


def out_of_range(name: str, error: Any) -> InputError:
    """A pydantic error of one value as one line that names the value."""
    first = error.errors()[0]
    wanted = first["msg"].removeprefix("Input ")
    return InputError(f"{name}: {wanted}, but it is {first['input']!r}")
