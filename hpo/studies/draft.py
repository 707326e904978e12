"""Drafts of studies: resolve the settings, freeze them in a protocol, check the protocol."""

from dataclasses import dataclass
from typing import Any, Unpack

from hpo import events
from hpo import protocol as protocols
from hpo.architectures import architectures
from hpo.datasets import DataSet, fingerprint
from hpo.errors import InputError
from hpo.io import folders
from hpo.protocol import Protocol
from hpo.search.samplers import max_trials
from hpo.settings import DEFAULT_TRIALS, StudySettings, given
from hpo.studies import checks
from hpo.studies.names import name_of
from hpo.studies.recipes import find_dataset, find_recipe
from search_spaces.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A checked study that is not stored yet; `n_trials` is its number of trials."""

    name: str
    protocol: Protocol
    n_trials: int


@folders.kept()
def draft_study(architecture: str, **settings: Unpack[StudySettings]) -> Draft:
    """Make a checked draft from the settings of a new study; writes nothing.

    `architecture` is a name that `hpo architectures` lists, or `package.module:attribute`.

    Raises:
        InputError: a setting is wrong; the message names the setting.
        RecipeError: the recipe is wrong; the message names the file and the line.
        DataError: the files of the data set are missing or damaged.
    """
    user_settings = given(settings)
    entry = architectures.get(architecture)
    name = name_of(architecture, user_settings.get("name"))
    dataset, data = find_dataset(user_settings.get("dataset"), entry)
    recipe = find_recipe(entry, user_settings.get("space"))
    resolved = _resolved(user_settings, recipe, data)
    protocol = protocols.make(
        architecture=architecture,
        fingerprint=fingerprint(dataset),
        known=recipe.known,
        **(resolved | {"dataset": dataset, "space": recipe.space.to_json()}),
    )
    checks.check(protocol, entry, data)
    n_trials = _n_trials(protocol, user_settings.get("trials"))
    return Draft(
        name=name,
        protocol=protocol.model_copy(update={"initial_trials": n_trials}),
        n_trials=n_trials,
    )


def _resolved(user_settings: StudySettings, recipe: Recipe, data: DataSet) -> dict[str, Any]:
    """The settings of the protocol: those of the user, else those of the recipe and the data set.

    Raises:
        InputError: the user and the search space of the recipe both set epochs or batch size.
    """
    fallbacks = {
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "train_size": data.default_train_size,
        "test_size": data.default_test_size,
    }
    values: dict[str, Any] = {name: value for name, value in fallbacks.items() if value is not None}
    values |= {
        name: value for name, value in user_settings.items() if name not in ("name", "trials")
    }
    for name in ("epochs", "batch_size"):
        if name in recipe.space.names:
            values[name] = _largest(name, user_settings, recipe)
    return values


def _largest(name: str, user_settings: StudySettings, recipe: Recipe) -> Any:
    """The largest value of epochs or batch size in the recipe's search space.

    Raises:
        InputError: the user set the value, although the recipe has the parameter.
    """
    if name in user_settings:
        raise InputError(
            f"{name}: the recipe already searches or fixes it; leave the option out, or name "
            "another recipe with --space"
        )
    return recipe.space.highest(name)


def _n_trials(protocol: Protocol, trials: int | None) -> int:
    """The requested number of trials, at most one for each configuration of the search space.

    Raises:
        InputError: the recipe has more known configurations than the study has trials.
    """
    most = max_trials(protocol)
    is_exhaustive = protocol.sampler == "grid" or most == 1
    requested = trials or (most if is_exhaustive else None) or DEFAULT_TRIALS
    n_trials = requested if most is None else min(requested, most)
    if n_trials < requested:
        message = (
            f"the search space has only {most} configuration{'' if most == 1 else 's'}, so the "
            f"study has {n_trials} trial{'' if n_trials == 1 else 's'} instead of {requested}"
        )
        events.inform("trials_limited", message, n_trials=n_trials)
    if n_trials < len(protocol.known):
        raise InputError(
            f"trials: {n_trials} is fewer than the {len(protocol.known)} known configurations of "
            "the recipe, which are tried first; raise --trials"
        )
    return n_trials
