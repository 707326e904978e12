"""What one training is of: an architecture, a configuration of its hyperparameters, how long."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from torch import nn

from hpo.architectures import Architecture, architectures
from hpo.datasets import Examples
from hpo.errors import HpoError, InputError
from hpo.protocol import Protocol
from hpo.settings import Precision
from hpo.training import optimization
from hpo.training.optimization import Optimization, initialize


DURATION = ("epochs", "batch_size")
"""Hyperparameters that take the place of what the protocol says, where a recipe searches them."""


def hyperparameters(architecture: Architecture) -> dict[str, Any]:
    """All that a recipe can search for this architecture, with the defaults.

    None for epochs and batch size stands for the study's own.
    """
    fit = optimization.defaults()
    if not architecture.auxiliary_loss:
        fit = _without(fit, optimization.AUXILIARY)
    if not architecture.asymmetry_loss:
        fit = _without(fit, optimization.ASYMMETRY)
    if architecture.loss is not None:  # it is the whole loss, with no weights to be searched
        fit = _without(fit, optimization.LOSSES + optimization.AUXILIARY + optimization.ASYMMETRY)
    duration = dict.fromkeys(DURATION)
    return fit | duration | architecture.augmentations | architecture.hyperparameters


def _without(names: dict[str, Any], gone: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in names.items() if name not in gone}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What one training is of: a network, its hyperparameters, how long and precisely it trains.

    `params` are in the recipe's form; epochs and batch size among them are already in the fields.

    Raises:
        InputError: epochs or batch size are too small, or no whole numbers.
    """

    architecture: Architecture
    params: Mapping[str, Any]
    epochs: int
    batch_size: int
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(
                    f"{name}: should be a whole number from {least}, but it is {value!r}"
                )

    @classmethod
    def of(cls, protocol: Protocol, params: Mapping[str, Any]) -> Self:
        """What is trained for a configuration of a study.

        Raises:
            InputError: the architecture cannot be found on this machine.
        """
        return cls(
            architecture=architectures.get(protocol.architecture),
            params=params,
            epochs=params.get("epochs", protocol.epochs),
            batch_size=params.get("batch_size", protocol.batch_size),
            precision=protocol.precision,
        )

    def build(self) -> nn.Module:
        """The network, initialized from torch's global seed."""
        model = self.architecture.build(**self._own(self.architecture.hyperparameters))
        initialize(model, self.optimization)
        return model

    def try_build(self) -> nn.Module:
        """The network, for hyperparameters that nobody has tried.

        Raises:
            InputError: its factory refuses them, whatever it raises, or makes something else.
        """
        name = self.architecture.name
        try:
            model = self.build()
        except HpoError:
            raise
        except Exception as error:
            raise InputError(
                f"{name} cannot be built with {self.params}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(model, nn.Module):
            raise InputError(f"the factory of {name} gives no torch module")
        return model

    @cached_property
    def optimization(self) -> Optimization:
        """The hyperparameters of the fit; what is not given has its default.

        Raises:
            InputError: one is out of its range.
        """
        return Optimization.make(**self._own(optimization.defaults()))

    def augment(self, train: Examples) -> Examples:
        """The training examples of one epoch; as they are where nothing changes them.

        Raises:
            InputError: a setting of the augmentation is out of its range.
        """
        if self.architecture.augment is None:
            return train
        augmented = self.architecture.augment(train, **self._own(self.architecture.augmentations))
        if len(augmented) != len(train):
            raise InputError(
                f"augment of {self.architecture.name} makes {len(augmented)} examples of "
                f"{len(train)}; it should keep their number"
            )
        return augmented

    def _own(self, names: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.params.items() if name in names}
