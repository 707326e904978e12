"""Recipes: an architecture's search space, training settings, known configurations and report.

A file holds the recipe of one architecture (`architecture: name`) or of a family of architectures
(`architectures:`). A family's sections `training`, `parameters`, `known` and `reported` are common
to its members. `architectures` maps each member's name to its own sections, which change the
common ones:

- `training`, `parameters` and `reported` replace the common entries of the same name. A null
  removes an entry. Removing a parameter also removes it from the common known configurations.
- `known` replaces all common known configurations.
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
"""The sections of a recipe file besides `architecture` or `architectures`."""


@dataclass(frozen=True)
class Reported:
    """The results and hyperparameters that a report gives for an architecture.

    source: the report, and the table or section in it.
    test_error, std: mean and standard deviation of `n` test runs, as fractions from 0 to 1.
    n_parameters: the number of parameters that the report states.
    train_s: the seconds of one training that the report states.
    hyperparameters: the configuration that `hpo reproduce` trains; others have their defaults.
    chosen: a text on what the report leaves open and what was chosen.
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
    """The recipe of one architecture.

    `known` configurations are in the recipe's form and include fixed parameters. Without `epochs`
    or `batch_size`, the study's default applies.
    """

    architecture: str
    epochs: int | None
    batch_size: int | None
    space: SearchSpace
    known: tuple[dict[str, Any], ...]
    reported: Reported | None


def read(path: Path, architecture: str | None = None) -> Recipe:
    """Read the recipe of an architecture from a file.

    `architecture` may be None if the file holds only one.

    Raises:
        RecipeError: the file cannot be read, is invalid or lacks the architecture, or
            `architecture` is None and the file holds a family.
    """
    with at(_label(path)):
        file = _load(path)
        if "architecture" in file:
            return _recipe(_single(file, architecture), file)
        name = _member(file, architecture)
        with at(f"architecture {name}"):
            return _recipe(name, _merged(file, _family(file)[name]))


def architectures(path: Path) -> tuple[str, ...]:
    """The names of all architectures whose recipes a file holds.

    Raises:
        RecipeError: the file cannot be read, or names no architecture.
    """
    with at(_label(path)):
        file = _load(path)
        return (_single(file, None),) if "architecture" in file else tuple(_family(file))


def bundled_files() -> tuple[Path, ...]:
    """The paths of the recipe files that hpo brings along."""
    return tuple(sorted(FOLDER.glob("*.yaml")))


@cache
def bundled(architecture: str) -> Recipe | None:
    """The recipe that hpo brings along for an architecture; None if hpo has none."""
    path = _bundled_paths().get(architecture)
    return None if path is None else read(path, architecture)


def bundled_names() -> tuple[str, ...]:
    """The names of all architectures that have a recipe in this package."""
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
    if "hpo_export" in written:  # the file is an export, which contains the study's recipe
        written = checks.entry(written, "recipe", checks.mapping)
    checks.only_keys(written, ("architecture", "architectures", *SECTIONS))
    if ("architecture" in written) == ("architectures" in written):
        raise RecipeError("write either architecture (one name) or architectures (a map)")
    return written


def _single(file: Written, architecture: str | None) -> str:
    """The name of the file's only architecture, which must be `architecture` if that is given."""
    name = checks.entry(file, "architecture", checks.text)
    if architecture not in (None, name):
        raise RecipeError(f"holds architecture {name}, not {checks.shown(architecture)}")
    return name


def _family(file: Written) -> dict[str, object]:
    members = checks.entry(file, "architectures", checks.mapping)
    with at("architectures"):
        if not members:
            raise RecipeError("the map is empty; allowed: one name or more")
        return {checks.text(name): entry for name, entry in members.items()}


def _member(file: Written, architecture: str | None) -> str:
    """The name `architecture`, if it is a member of the file's family."""
    names = _family(file)
    if architecture is None:
        raise RecipeError(f"holds a family; say which architecture: {checks.listed(names)}")
    if architecture not in names:
        raise RecipeError(checks.unknown("architecture", architecture, names))
    return architecture


def _merged(file: Written, member: object) -> Written:
    """A family's common sections, changed by the sections of one member; null changes nothing."""
    changes = checks.mapping({} if member is None else member)
    checks.only_keys(changes, SECTIONS)
    common = {key: value for key, value in file.items() if key != "architectures"}
    merged = {**common, **changes}
    for key in ("training", "parameters", "reported"):
        if key in common and key in changes:
            with at(key):
                merged[key] = _overlaid(checks.mapping(common[key]), checks.mapping(changes[key]))
    if "known" in common and "known" not in changes:
        with at("parameters"):
            parameters = checks.mapping(changes.get("parameters") or {})
        with at("known"):
            merged["known"] = _without_removed(common["known"], parameters)
    return merged


def _without_removed(known: object, changes: Written) -> object:
    """A family's known configurations without the parameters that `changes` sets to null."""
    removed = _removed(changes)
    if not isinstance(known, list):
        return known
    return [{k: v for k, v in checks.mapping(entry).items() if k not in removed} for entry in known]


def _overlaid(common: Written, changes: Written) -> Written:
    removed = _removed(changes)
    for name in changes:
        if name in removed and name not in common:
            raise RecipeError(
                f"{checks.shown(name)}: null removes an entry, but the family has no entry of "
                "this name"
            )
    merged = {**common, **changes}
    return {name: form for name, form in merged.items() if name not in removed}


def _removed(changes: Written) -> set[object]:
    return {name for name, change in changes.items() if change is None}


def _recipe(architecture: str, written: Written) -> Recipe:
    space = checks.entry(written, "parameters", SearchSpace.from_json)
    training = checks.optional(written, "training", _training) or {}
    if duplicates := [name for name in training if name in space.names]:
        raise RecipeError(
            f"{duplicates[0]}: is under training and under parameters; remove one of the two"
        )
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
        hyperparameters=checks.optional(written, "hyperparameters", _hyperparameters) or {},
        chosen=checks.optional(written, "chosen", checks.text),
    )


def _seconds(written: object) -> float:
    seconds = checks.number(written)
    if seconds < 0:
        raise RecipeError(f"{checks.shown(written)} is negative; allowed: seconds from 0")
    return seconds


def _hyperparameters(written: object) -> dict[str, Any]:
    """A report's hyperparameters, which may lie outside the search space."""
    hyperparameters = checks.mapping(written)
    return {
        identifier(name): checks.entry(hyperparameters, name, fixed).to_json()
        for name in hyperparameters
    }
