"""Recipes: the search space of an architecture, what it is trained with, what is known of it.

A file holds one architecture (`architecture: name`) or a family: `architectures:`, a map from each
name to what it changes. There `parameters` are merged by name over the common ones (null takes one
away, also out of the common known configurations), `training` and `reported` key by key; `known`
replaces the common ones.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from search_spaces import checks, yaml_file
from search_spaces.checks import Written
from search_spaces.errors import RecipeError, at
from search_spaces.forms import fixed
from search_spaces.space import SearchSpace, identifier


FOLDER = Path(__file__).parent
SECTIONS = ("training", "parameters", "known", "reported")


@dataclass(frozen=True)
class Reported:
    """What a report says of an architecture; errors are fractions from 0 to 1.

    `n` test runs gave the mean `test_error` and the standard deviation `std`; `n_parameters` and
    the seconds `train_s` of one training are the report's own figures. `hyperparameters` are the
    report's; what it leaves open was chosen, and `chosen` says so.
    """

    source: str
    test_error: float | None
    std: float | None
    n: int | None
    n_parameters: int | None
    train_s: float | None
    hyperparameters: dict[str, Any]
    chosen: str | None


@dataclass(frozen=True)
class Recipe:
    """One architecture's recipe; `known` configurations are in the own form, fixed values in."""

    architecture: str
    epochs: int | None
    batch_size: int | None
    space: SearchSpace
    known: tuple[dict[str, Any], ...]
    reported: Reported | None


def read(path: Path, architecture: str | None = None) -> Recipe:
    """The recipe in a file; of a family, that of `architecture`, which then has to be given.

    Raises:
        RecipeError: the file cannot be read, is wrong, or does not hold the architecture.
    """
    with at(_label(path)):
        file = _load(path)
        if "architecture" in file:
            return _recipe(_single(file, architecture), file)
        name = _member(file, architecture)
        with at(f"architecture {name}"):
            return _recipe(name, _merged(file, _family(file)[name]))


def architectures(path: Path) -> tuple[str, ...]:
    """The names of the architectures whose recipes a file holds.

    Raises:
        RecipeError: the file cannot be read, or names none.
    """
    with at(_label(path)):
        file = _load(path)
        return (_single(file, None),) if "architecture" in file else tuple(_family(file))


def bundled_files() -> tuple[Path, ...]:
    """The recipe files that come with this package."""
    return tuple(sorted(FOLDER.glob("*.yaml")))


@cache
def bundled(architecture: str) -> Recipe | None:
    """The recipe that comes with this package for an architecture; None where there is none."""
    path = _bundled_paths().get(architecture)
    return None if path is None else read(path, architecture)


def bundled_names() -> tuple[str, ...]:
    """The architectures that have a recipe in this package."""
    return tuple(_bundled_paths())


@cache
def _bundled_paths() -> dict[str, Path]:
    return {name: path for path in bundled_files() for name in architectures(path)}


def _label(path: Path) -> str:
    return str(path) if str(path).isprintable() else repr(str(path))


def _load(path: Path) -> Written:
    file = yaml_file.read(path)
    if file is None:
        raise RecipeError("the file is empty; see search_spaces/siamese.yaml for an example")
    written = checks.mapping(file)
    if "hpo_export" in written:  # an export holds the recipe of its study
        written = checks.entry(written, "recipe", checks.mapping)
    checks.only_keys(written, ("architecture", "architectures", *SECTIONS))
    if ("architecture" in written) == ("architectures" in written):
        raise RecipeError("either architecture (one name) or architectures (a map) has to be there")
    return written


def _single(file: Written, asked: str | None) -> str:
    name = checks.entry(file, "architecture", checks.text)
    if asked not in (None, name):
        raise RecipeError(f"holds architecture {name}, not {checks.shown(asked)}")
    return name


def _family(file: Written) -> dict[str, object]:
    members = checks.entry(file, "architectures", checks.mapping)
    with at("architectures"):
        if not members:
            raise RecipeError("the map is empty; allowed: one name or more")
        return {checks.text(name): entry for name, entry in members.items()}


def _member(file: Written, asked: str | None) -> str:
    names = _family(file)
    if asked is None:
        raise RecipeError(f"holds a family; say which architecture: {checks.listed(names)}")
    if asked not in names:
        raise RecipeError(checks.unknown("architecture", asked, names))
    return asked


def _merged(file: Written, entry: object) -> Written:
    """A family's common sections with what one member's entry (null: nothing) changes."""
    changes = checks.mapping({} if entry is None else entry)
    checks.only_keys(changes, SECTIONS)
    common = {key: value for key, value in file.items() if key != "architectures"}
    merged = {**common, **changes}
    for key in ("training", "parameters", "reported"):
        if key in common and key in changes:
            with at(key):
                merged[key] = _overlaid(checks.mapping(common[key]), checks.mapping(changes[key]))
    if "known" in common and "known" not in changes:
        with at("parameters"):
            changed = checks.mapping(changes.get("parameters") or {})
        with at("known"):
            merged["known"] = _left(common["known"], changed)
    return merged


def _left(known: object, changes: Written) -> object:
    """Common known configurations without the parameters that a member takes away."""
    gone = {name for name, form in changes.items() if form is None}
    if not isinstance(known, list):
        return known
    return [{k: v for k, v in checks.mapping(entry).items() if k not in gone} for entry in known]


def _overlaid(common: Written, changes: Written) -> Written:
    for name, change in changes.items():
        if change is None and name not in common:
            raise RecipeError(f"{checks.shown(name)}: null takes away what is not there")
    merged = {**common, **changes}
    gone = {name for name, change in changes.items() if change is None}
    return {name: form for name, form in merged.items() if name not in gone}


def _recipe(architecture: str, written: Written) -> Recipe:
    space = checks.entry(written, "parameters", SearchSpace.from_json)
    training = checks.optional(written, "training", _training) or {}
    if twice := [name for name in training if name in space.names]:
        raise RecipeError(f"{twice[0]}: stands under training and under parameters; leave one out")
    return Recipe(
        architecture=architecture,
        epochs=training.get("epochs"),
        batch_size=training.get("batch_size"),
        space=space,
        known=_known(written.get("known"), space),
        reported=_reported(written.get("reported")),
    )


def _training(written: object) -> dict[str, int]:
    training = checks.mapping(written)
    checks.only_keys(training, ("epochs", "batch_size"))
    return {str(key): checks.entry(training, key, checks.positive) for key in training}


def _known(written: object, space: SearchSpace) -> tuple[dict[str, Any], ...]:
    if written is None:
        return ()
    if not isinstance(written, list):
        raise RecipeError(f"known: {checks.shown(written)} is not a list of configurations")
    known = []
    for index, entry in enumerate(written):
        with at(f"known[{index}]"):
            params = {str(name): value for name, value in checks.mapping(entry).items()}
            known.append(space.decode(space.encode(params)))
    return tuple(known)


def _reported(written: object) -> Reported | None:
    if written is None:
        return None
    with at("reported"):
        return _read_reported(checks.mapping(written))


def _read_reported(written: Written) -> Reported:
    checks.only_keys(written, [field.name for field in fields(Reported)])
    return Reported(
        source=checks.entry(written, "source", checks.text),
        test_error=checks.optional(written, "test_error", checks.fraction),
        std=checks.optional(written, "std", checks.fraction),
        n=checks.optional(written, "n", checks.positive),
        n_parameters=checks.optional(written, "n_parameters", checks.positive),
        train_s=checks.optional(written, "train_s", _seconds),
        hyperparameters=checks.optional(written, "hyperparameters", _plain) or {},
        chosen=checks.optional(written, "chosen", checks.text),
    )


def _seconds(written: object) -> float:
    seconds = checks.number(written)
    if seconds < 0:
        raise RecipeError(f"{checks.shown(written)} is negative; allowed: seconds from 0")
    return seconds


def _plain(written: object) -> dict[str, Any]:
    """Hyperparameters as reported, which need not lie in the space."""
    hyperparameters = checks.mapping(written)
    return {
        identifier(name): checks.entry(hyperparameters, name, fixed).to_json()
        for name in hyperparameters
    }
