"""A new study before it is stored: its settings checked and frozen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpo import protocol as protocols
from hpo.architectures import architectures
from hpo.datasets import fingerprint
from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.search.samplers import count_configurations
from hpo.studies import checks
from hpo.studies.recipes import find_dataset, find_recipe
from hpo.studies.settings import DEFAULT_TRIALS, MAX_TRIALS, checked_name, default_name
from search_spaces.recipe import Recipe
from search_spaces.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A study that was checked and could be created."""

    name: str
    protocol: Protocol
    n_trials: int


def draft_study(
    architecture: str,
    *,
    name: str | None = None,
    dataset: str | None = None,
    space: Path | str | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    train_size: int | None = None,
    test_size: int | None = None,
    centre: bool = True,
    **settings: Any,
) -> Draft:
    """Check all settings of a new study and freeze them; writes nothing.

    Architecture and data set are named as in `hpo architectures`, or as `package.module:attribute`.
    `space` is a recipe's file, else the architecture's own recipe is taken. Epochs and batch size
    come from here, else from the recipe, else they are 25 and 100. With `centre` the known
    configurations are followed by the centre of the search space. Other settings (folds, repeats,
    sampler, pruner, seed, max_attempts, lease_s, confirm) are fields of `hpo.protocol.Protocol`.

    Raises:
        InputError, RecipeError: a setting is wrong; the message says which.
    """
    entry = architectures.get(architecture)
    data_name, data = find_dataset(dataset, entry)
    found = find_recipe(entry, space)
    sizes = {
        "train_size": data.default_train_size if train_size is None else train_size,
        "test_size": data.default_test_size if test_size is None else test_size,
        "epochs": resolve_duration("epochs", epochs, found, found.epochs),
        "batch_size": resolve_duration("batch_size", batch_size, found, found.batch_size),
    }
    given = {key: value for key, value in (settings | sizes).items() if value is not None}
    frozen = protocols.make(
        architecture=architecture,
        dataset=data_name,
        fingerprint=fingerprint(data_name),
        space=found.space.to_json(),
        known=found.known,
        centre=centre,
        **given,
    )
    checks.check(frozen, entry, data)
    n_trials = budget(frozen, found.space, trials)
    own_name = default_name(architecture) if name is None else checked_name(name)
    return Draft(name=own_name, protocol=frozen, n_trials=n_trials)


def resolve_duration(name: str, asked: int | None, found: Recipe, of_recipe: int | None) -> Any:
    """Epochs or batch size: what was asked for, else the recipe's; None where neither says.

    Where the recipe searches it, the largest that a trial can have.

    Raises:
        InputError: it was asked for, and the recipe searches it.
    """
    if name not in found.space.names:
        return of_recipe if asked is None else asked
    if asked is not None:
        raise InputError(
            f"{name}: the recipe has it as a parameter; leave it out here, or give a recipe "
            "without it (--space)"
        )
    return found.space.highest(name)


def budget(frozen: Protocol, space: SearchSpace, trials: int | None) -> int:
    """The number of trials: what was asked for, as far as there are different configurations.

    Raises:
        InputError: it is below 1, or there are more known configurations.
    """
    if trials is not None and not 1 <= trials <= MAX_TRIALS:
        raise InputError(f"trials: should be from 1 to {MAX_TRIALS}, but it is {trials}")
    most = count_configurations(frozen.sampler, space)
    asked = trials or (most if most is not None else DEFAULT_TRIALS)
    n_trials = asked if most is None else min(asked, most)
    if n_trials < len(frozen.known):
        raise InputError(
            f"trials: {n_trials} is fewer than the {len(frozen.known)} known configurations of "
            "the recipe, which are tried first; raise --trials"
        )
    return n_trials
