"""Conversion of parameters to Optuna's distributions; the only module here that imports Optuna."""

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from search_spaces.kinds import Channels, Choice, FloatRange, IntRange, Kind


def distributions(name: str, kind: Kind) -> dict[str, BaseDistribution]:
    """The Optuna distributions of the parameter `name`, by the names that Optuna stores."""
    return {optuna_name: _distribution(kind) for optuna_name in kind.optuna_names(name)}


def _distribution(kind: Kind) -> BaseDistribution:
    match kind:
        case FloatRange(low, high, log, step):
            return FloatDistribution(low, high, log=log, step=step)
        case IntRange(low, high, log, step):
            return IntDistribution(low, high, log=log, step=step or 1)
        case Choice(choices):
            return CategoricalDistribution(choices)
        case Channels(choices):
            return IntDistribution(0, len(choices) - 1)
    raise TypeError(f"{kind} has no distribution")
