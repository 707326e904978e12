"""A new study before it is stored: its settings are resolved, frozen and checked, once each."""

from dataclasses import dataclass
from typing import Any, Unpack

from hpo import protocol as protocols
from hpo.architectures import architectures
from hpo.datasets import DataSet, fingerprint
from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.search.samplers import count_configurations
from hpo.settings import StudySettings, given
from hpo.studies import checks
from hpo.studies.names import checked_name, default_name
from hpo.studies.recipes import find_dataset, find_recipe
from search_spaces.recipe import Recipe


DEFAULT_TRIALS = 50


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A study that was checked and could be created; `n_trials` is its budget."""

    name: str
    protocol: Protocol
    n_trials: int


def draft_study(architecture: str, **settings: Unpack[StudySettings]) -> Draft:
    """Resolve, freeze and check the settings of a new study; writes nothing.

    `architecture` is a name that `hpo architectures` lists, or `package.module:attribute`.

    Raises:
        InputError: a setting is wrong; the message names it.
        RecipeError: the recipe is wrong; the message names file and line.
        DataError: the files of the data set are missing or damaged.
    """
    wanted = given(settings)
    entry = architectures.get(architecture)
    dataset, data = find_dataset(wanted.get("dataset"), entry)
    recipe = find_recipe(entry, wanted.get("space"))
    resolved = _resolved(wanted, recipe, data)
    frozen = protocols.make(
        architecture=architecture,
        fingerprint=fingerprint(dataset),
        known=recipe.known,
        **(resolved | {"dataset": dataset, "space": recipe.space.to_json()}),
    )
    checks.check(frozen, entry, data)
    name = wanted.get("name")
    return Draft(
        name=checked_name(default_name(architecture) if name is None else name),
        protocol=frozen,
        n_trials=_budget(frozen, wanted.get("trials")),
    )


def _resolved(wanted: StudySettings, recipe: Recipe, data: DataSet) -> dict[str, Any]:
    """The settings of the protocol, with what the recipe and the data set say where none is given.

    Raises:
        InputError: epochs or batch size were given, and the recipe searches them.
    """
    usual = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "train_size": data.default_train_size,
        "test_size": data.default_test_size,
    }
    values: dict[str, Any] = {name: value for name, value in usual.items() if value is not None}
    values |= {name: wanted[name] for name in wanted if name not in ("name", "trials")}  # type: ignore[literal-required]
    for name in ("epochs", "batch_size"):
        if name in recipe.space.names:
            values[name] = _searched(name, wanted, recipe)
    return values


def _searched(name: str, wanted: StudySettings, recipe: Recipe) -> Any:
    """Epochs or batch size that the recipe searches: the largest that a trial can have.

    Raises:
        InputError: they were given as a setting, too.
    """
    if name in wanted:
        raise InputError(
            f"{name}: the recipe has it as a parameter; leave it out here, or give a recipe "
            "without it (--space)"
        )
    return recipe.space.highest(name)


def _budget(protocol: Protocol, trials: int | None) -> int:
    """The number of trials: what was asked for, but at most one for each configuration.

    Raises:
        InputError: there are more known configurations than trials.
    """
    most = count_configurations(protocol.sampler, protocol.search_space)
    asked = trials or most or DEFAULT_TRIALS
    n_trials = asked if most is None else min(asked, most)
    if n_trials < len(protocol.known):
        raise InputError(
            f"trials: {n_trials} is fewer than the {len(protocol.known)} known configurations of "
            "the recipe, which are tried first; raise --trials"
        )
    return n_trials
