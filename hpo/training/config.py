"""The configuration of one training: architecture, hyperparameters, epochs and batch size."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from torch import nn

from hpo.architectures import Architecture, architectures
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.foreign_code.failures import MAX_LINE_LENGTH, shortened
from hpo.protocol import Protocol
from hpo.registry import user_code
from hpo.settings import Precision
from hpo.training import optimization
from hpo.training.optimization import Optimization, initialize
from hpo.training.size_limit import SizeLimit, trainable_numbers


DURATION = ("epochs", "batch_size")
"""Hyperparameters that replace the protocol's value if a recipe searches them."""


def hyperparameters(architecture: Architecture) -> dict[str, Any]:
    """All hyperparameters that a recipe can search for this architecture, with their defaults.

    The default of epochs and batch size is None, which means the study's value.
    """
    fit = optimization.defaults()
    if not architecture.auxiliary_loss:
        fit = _without(fit, optimization.AUXILIARY)
    if not architecture.asymmetry_loss:
        fit = _without(fit, optimization.ASYMMETRY)
    if architecture.loss is not None:  # replaces the whole loss and its weights
        fit = _without(fit, optimization.LOSSES + optimization.AUXILIARY + optimization.ASYMMETRY)
    duration = dict.fromkeys(DURATION)
    return fit | duration | architecture.augmentations | architecture.hyperparameters


def _without(defaults: dict[str, Any], excluded: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in defaults.items() if name not in excluded}


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The configuration of one training: a network, its hyperparameters, epochs and precision.

    `params` are the hyperparameters in the recipe's form. If they include epochs or batch size,
    the fields of that name hold the same values.

    Raises:
        InputError: `epochs` is not an integer from 1, or `batch_size` is not an integer from 2.
    """

    architecture: Architecture
    params: Mapping[str, Any]
    epochs: int
    batch_size: int
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name, minimum in (("epochs", 1), ("batch_size", 2)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
                raise InputError(
                    f"{name}: should be a whole number from {minimum}, but it is {value!r}"
                )

    @classmethod
    def of(cls, protocol: Protocol, params: Mapping[str, Any]) -> Self:
        """The training of a study's configuration; `params` are in the recipe's form.

        Raises:
            InputError: this machine lacks the architecture, or `params` holds invalid epochs or
                an invalid batch size.
        """
        return cls(
            architecture=architectures.get(protocol.architecture),
            params=params,
            epochs=params.get("epochs", protocol.epochs),
            batch_size=params.get("batch_size", protocol.batch_size),
            precision=protocol.precision,
        )

    def build(self) -> nn.Module:
        """A new network, initialized from torch's global random generator."""
        model = self.architecture.build(**self._params_among(self.architecture.hyperparameters))
        initialize(model, self.optimization)
        return model

    def try_build(self, max_numbers: int | None = None) -> nn.Module:
        """A new network, built from hyperparameters that may be invalid.

        Its tensors may hold `max_numbers` numbers; the default is what this machine can train.

        Raises:
            InputError: the factory raised an exception, the network is too large, or the factory
                returned no torch module.
        """
        name = self.architecture.name
        params = shortened(str(self.params), MAX_LINE_LENGTH)
        limit = SizeLimit(trainable_numbers() if max_numbers is None else max_numbers)
        with user_code(f"{name} cannot be built with {params}"), limit:
            model = self.build()
        if not isinstance(model, nn.Module):
            raise InputError(
                f"the factory of {name} returns no torch module; it should return an nn.Module"
            )
        return model

    @cached_property
    def optimization(self) -> Optimization:
        """The hyperparameters of loss and optimizer; those missing from `params` have defaults.

        Raises:
            InputError: a hyperparameter is out of its range.
        """
        return Optimization.make(**self._params_among(optimization.defaults()))

    def augment(self, train: Examples) -> Examples:
        """The training examples of one epoch: `train`, augmented if the architecture has `augment`.

        Raises:
            InputError: a setting of the augmentation is out of its range, or the augmentation
                changed the number of examples.
        """
        if self.architecture.augment is None:
            return train
        settings = self._params_among(self.architecture.augmentations)
        augmented = self.architecture.augment(train.copy(), **settings)
        if len(augmented) != len(train):
            raise InputError(
                f"augment of {self.architecture.name} makes {len(augmented)} examples of "
                f"{len(train)}; it should keep their number"
            )
        return augmented

    def _params_among(self, names: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in self.params.items() if name in names}
