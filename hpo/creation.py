"""The checks of a new study that need its network and its data (and so torch)."""

from collections.abc import Iterator
from typing import Any

import optuna

from hpo import strategies
from hpo.architectures import Architecture, architectures
from hpo.cross_validation import fold_indices
from hpo.datasets import DataSet, load
from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.registry import unknown
from hpo.training import Setting, hyperparameters
from search_spaces.space import SearchSpace


def architecture(name: str) -> Architecture:
    """The architecture of that name.

    Raises:
        InputError: there is none.
    """
    return architectures.get(name)


def dataset(name: str, entry: Architecture) -> DataSet:
    """The data set of that name, for that architecture.

    Raises:
        InputError: there is none, or it is made for another task.
        DataError: its files are missing or damaged.
    """
    data = load(name)
    if data.task != entry.task:
        raise InputError(
            f"dataset: {name} holds {data.task}, but {entry.name} is made for {entry.task}"
        )
    return data


def check(protocol: Protocol, entry: Architecture, data: DataSet) -> None:
    """See that a worker will be able to do what the protocol says.

    Raises:
        InputError: a size, a fold, a parameter or a strategy is wrong.
    """
    space = protocol.search_space
    check_names(space, entry)
    strategies.check(protocol.sampler, protocol.pruner, space)
    check_builds(protocol, space, entry)
    examples = data.draw_train(protocol.train_size, seed=0)
    data.draw_test(protocol.test_size, seed=0)
    fold_indices(examples, protocol.folds, protocol.seed)


def check_names(space: SearchSpace, entry: Architecture) -> None:
    """See that the architecture has every parameter of the space.

    Raises:
        InputError: it lacks one; the message names the nearest.
    """
    own = hyperparameters(entry)
    for name in space.names:
        if name not in own:
            raise InputError(unknown(f"parameter of {entry.name}", name, own))


def check_builds(protocol: Protocol, space: SearchSpace, entry: Architecture) -> None:
    """See that the network can be built at the corners of the space.

    Raises:
        InputError: it cannot; the message names the configuration.
    """
    for params in corners(space):
        setting = Setting(
            architecture=entry,
            params=params,
            epochs=protocol.epochs,
            batch_size=protocol.batch_size,
        )
        _ = setting.optimization
        setting.try_build()


def corners(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """The lowest and highest values of all parameters, and each choice of a categorical one."""
    distributions = space.distributions()
    lowest = {name: _ends(d)[0] for name, d in distributions.items()}
    yield space.decode(lowest)
    yield space.decode({name: _ends(d)[-1] for name, d in distributions.items()})
    for name, distribution in distributions.items():
        if isinstance(distribution, optuna.distributions.CategoricalDistribution):
            for choice in distribution.choices:
                yield space.decode(lowest | {name: choice})


def _ends(distribution: Any) -> list[Any]:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return list(distribution.choices)
    return [distribution.low, distribution.high]
