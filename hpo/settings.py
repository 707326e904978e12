"""The settings of a study: the one definition of their names, types, ranges, defaults and help.

The options of `hpo study create`, the keyword arguments of `hpo.create_study`, the fields of the
stored protocol and the command in an export are derived from this module.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, cast, get_type_hints

from annotated_types import Ge, Gt, Le, Lt
from typing_extensions import TypedDict

from hpo.errors import InputError
from hpo.registry import unknown
from hpo.words import SETTINGS


DEFAULT_TRIALS = 50
"""Trials of a study if the user gives no number and the search space is not countable."""

DEFAULT_EPOCHS = 25
"""Epochs per training if neither the user nor the recipe gives a number."""

DEFAULT_BATCH_SIZE = 100
"""Examples per batch if neither the user nor the recipe gives a number."""

MAX_COUNT = 1_000_000
"""The largest value of a setting that counts trials, folds, epochs, test runs or attempts."""

MAX_EXAMPLES = 2**53
"""The largest value of a setting that counts examples; databases and JSON keep it exactly."""

Trials: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Folds: TypeAlias = Annotated[int, Ge(2), Le(MAX_COUNT)]
Epochs: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
BatchSize: TypeAlias = Annotated[int, Ge(2), Le(MAX_EXAMPLES)]
Repeats: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Attempts: TypeAlias = Annotated[int, Ge(1), Le(MAX_COUNT)]
Size: TypeAlias = Annotated[int, Ge(1), Le(MAX_EXAMPLES)]
Seed: TypeAlias = Annotated[int, Ge(0), Lt(2**63)]
LeaseSeconds: TypeAlias = Annotated[float, Gt(0), Le(86400)]

Precision: TypeAlias = Literal["float32", "bfloat16"]
"""The number format of the forward pass in training.

With bfloat16, torch's autocast chooses the operations that run in bfloat16. Weights, gradients and
the optimizer's state stay float32. Errors are always measured in float32.
"""


@dataclass(frozen=True)
class Setting:
    """The help text, default and option name of a setting.

    `default` is the value of a setting that the user leaves out. If `default` is None, the value
    comes from the architecture, the recipe or the data set, and `otherwise` says which. `flag` is
    the name of the command-line option if it differs from the setting's name.
    """

    help: str
    default: Any = None
    otherwise: str = ""
    flag: str = ""


class StudySettings(TypedDict, total=False):
    """The settings of a study; each one is optional."""

    name: Annotated[str | None, Setting("Name of the study.", otherwise="the architecture's name")]
    dataset: Annotated[
        str | None,
        Setting(
            "Data set: mnist, digits, disk or package.module:factory.",
            otherwise="the architecture's data set",
        ),
    ]
    space: Annotated[
        Path | str | None,
        Setting("Recipe file with the search space.", otherwise="the architecture's recipe"),
    ]
    trials: Annotated[
        Trials | None,
        Setting("Number of trials.", otherwise=f"{DEFAULT_TRIALS}, or all points of a grid"),
    ]
    folds: Annotated[Folds, Setting("Number of cross-validation folds.", 5)]
    epochs: Annotated[
        Epochs | None,
        Setting("Epochs per training.", otherwise=f"the recipe's, else {DEFAULT_EPOCHS}"),
    ]
    batch_size: Annotated[
        BatchSize | None,
        Setting("Examples per batch.", otherwise=f"the recipe's, else {DEFAULT_BATCH_SIZE}"),
    ]
    precision: Annotated[
        Precision,
        Setting("Number format of the forward pass in training: float32 or bfloat16.", "float32"),
    ]
    repeats: Annotated[Repeats, Setting("Test runs of the best trial, each with its own seed.", 15)]
    max_attempts: Annotated[
        Attempts, Setting("Attempts before a trial that crashes its worker counts as failed.", 3)
    ]
    train_size: Annotated[
        Size | None,
        Setting("Number of training examples.", otherwise="the data set's default size"),
    ]
    test_size: Annotated[
        Size | None, Setting("Number of test examples.", otherwise="the data set's default size")
    ]
    sampler: Annotated[str, Setting("Sampler: tpe, random, grid, gp or cmaes.", "tpe")]
    pruner: Annotated[str, Setting("Pruner: forgiving, hyperband, median or none.", "forgiving")]
    centre: Annotated[
        bool,
        Setting(
            "Try the centre of the search space after the recipe's known configurations.", True
        ),
    ]
    seed: Annotated[Seed, Setting("Seed of all random draws.", 0)]
    lease_s: Annotated[
        LeaseSeconds,
        Setting("Seconds without a heartbeat until a worker loses its work.", 60.0, flag="lease"),
    ]


def settings() -> dict[str, Setting]:
    """Every setting by name, in the order of the options in the help; each has its `flag`."""
    return {name: _setting(name, hint) for name, hint in annotations().items()}


def annotations() -> dict[str, Any]:
    """The annotation of each setting by name: its type and range, and its `Setting`."""
    return get_type_hints(StudySettings, include_extras=True)


def _setting(name: str, annotation: Any) -> Setting:
    (setting,) = [part for part in annotation.__metadata__ if isinstance(part, Setting)]
    return replace(setting, flag=setting.flag or name.replace("_", "-"))


def defaults() -> dict[str, Any]:
    """The default of each setting whose default is a fixed value, by name."""
    return {
        name: setting.default for name, setting in settings().items() if setting.default is not None
    }


def given(values: Mapping[str, Any]) -> StudySettings:
    """Check each setting in `values` and return those that were given.

    A setting whose value is None counts as left out.

    Raises:
        InputError: a setting is unknown, has the wrong type or is out of its range.
    """
    from pydantic import TypeAdapter, ValidationError  # slow to load; `hpo --help` does not need it

    hints = annotations()
    checked: dict[str, Any] = {}
    for name, value in values.items():
        if name not in hints:
            raise InputError(unknown("setting", name, hints, SETTINGS))
        if value is None:
            continue
        try:
            checked[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as error:
            raise out_of_range(name, error) from error
    return cast(StudySettings, checked)


def out_of_range(name: str, error: Any) -> InputError:
    """Turn pydantic's error about the value of setting `name` into an error of one line."""
    first = error.errors()[0]
    requirement = first["msg"].removeprefix("Input ")
    if first["type"] == "path_type":
        requirement = "should be the path of a file"
    return InputError(f"{name}: {requirement}, but it is {first['input']!r}")
