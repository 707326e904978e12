"""How a network is fitted: the hyperparameters of any fit, and what torch makes of them."""

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from torch.optim import lr_scheduler as schedulers

from hpo.errors import InputError


DROP_EVERY = 10
"""The step schedule lowers the learning rate after so many epochs."""

RANDOM_STD = 0.1
"""Of the weights that the initialization `random` draws."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Optimization(BaseModel):
    """The hyperparameters of a fit, whatever the network.

    Raises:
        InputError: one is out of its range (by `make`); the message names it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    optimizer: Literal["adam", "adamw", "sgd", "momentum", "nesterov", "adagrad", "rmsprop"] = (
        "adam"
    )
    learning_rate: Number = 0.001
    weight_decay: Number = 0.0
    """L2 penalty; with adamw decoupled from the gradient."""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """For the optimizers momentum and nesterov."""
    schedule: Literal["none", "exponential", "time_based", "step", "cosine", "one_cycle"] = "none"
    decay: Number = 0.05
    """An epoch's, for the schedules exponential (e^-decay), time_based (1 / (1 + decay epoch))
    and step (ten epochs' exponential decay at once)."""
    initialization: Literal["default", "random", "zero", "he", "xavier"] = "default"
    """Of linear and convolution weights; default is torch's own, the others set biases to 0."""
    loss: Literal["cross_entropy", "mse"] | None = None
    """None: cross_entropy for classes, mse for numbers. mse of classes compares with one-hot."""
    label_smoothing: Share = 0.0
    """Of the classes of the answer and of each part's own label."""
    aux_weight: Number = 1.0
    """Of each part's own loss beside the answer's, for networks with an auxiliary loss."""
    aux_balance: Share = 0.5
    """How two parts share twice that weight: the first one's share, so that each has its own."""
    asymmetry_weight: Number = 1.0
    """Of the loss of swapped parts beside the answer's, for networks with an asymmetry loss."""

    @classmethod
    def make(cls, **given: Any) -> Self:
        """From what a recipe or a sampler gives; what is left out has its default.

        Raises:
            InputError: a value is out of its range.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            first = error.errors()[0]
            wanted = first["msg"].removeprefix("Input ")
            raise InputError(
                f"{first['loc'][0]}: {wanted}, but it is {first['input']!r}"
            ) from error


BELONGS_TO = {
    "momentum": ("optimizer", {"momentum", "nesterov"}),
    "decay": ("schedule", {"exponential", "time_based", "step"}),
}
"""Hyperparameters that change something only with certain values of another."""

LOSSES = ("loss", "label_smoothing")
AUXILIARY = ("aux_weight", "aux_balance")
ASYMMETRY = ("asymmetry_weight",)


def defaults() -> dict[str, Any]:
    """All hyperparameters of a fit with their defaults."""
    return {name: each.default for name, each in Optimization.model_fields.items()}


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": lambda weights, fit: Adam(weights, fused=True, **_shared(fit)),
    "adamw": lambda weights, fit: AdamW(weights, fused=True, **_shared(fit)),
    "sgd": lambda weights, fit: SGD(weights, fused=True, **_shared(fit)),
    "momentum": lambda weights, fit: SGD(
        weights, fused=True, momentum=fit.momentum, **_shared(fit)
    ),
    "nesterov": lambda weights, fit: SGD(
        weights, fused=True, momentum=fit.momentum, nesterov=True, **_shared(fit)
    ),
    "adagrad": lambda weights, fit: Adagrad(weights, fused=True, **_shared(fit)),
    "rmsprop": lambda weights, fit: RMSprop(weights, **_shared(fit)),
}


def _shared(fit: Optimization) -> dict[str, Any]:
    return {"lr": fit.learning_rate, "weight_decay": fit.weight_decay}


def make_optimizer(model: nn.Module, fit: Optimization) -> Optimizer:
    """The optimizer of a model's trainable parameters."""
    weights = [each for each in model.parameters() if each.requires_grad]
    return OPTIMIZERS[fit.optimizer](weights, fit)


def warm_up() -> None:
    """Have torch import now, not amid a training, what it imports with the first optimizer.

    It takes a second, and nothing public of torch turns it off.
    """
    make_optimizer(nn.Linear(1, 1), Optimization())


class Schedule:
    """Moves the learning rate: one_cycle after each step, the others after each epoch."""

    def __init__(
        self, optimizer: Optimizer, fit: Optimization, *, epochs: int, n_batches: int
    ) -> None:
        self._each_step = fit.schedule == "one_cycle"
        self._scheduler = _scheduler(optimizer, fit, epochs, n_batches)

    def after_step(self) -> None:
        """To be called after each step of the optimizer."""
        if self._each_step and self._scheduler is not None:
            self._scheduler.step()

    def after_epoch(self) -> None:
        """To be called after each epoch."""
        if not self._each_step and self._scheduler is not None:
            self._scheduler.step()


def _scheduler(
    optimizer: Optimizer, fit: Optimization, epochs: int, n_batches: int
) -> schedulers.LRScheduler | None:
    match fit.schedule:
        case "none":
            return None
        case "exponential":
            return schedulers.ExponentialLR(optimizer, math.exp(-fit.decay))
        case "time_based":
            return schedulers.LambdaLR(optimizer, lambda epoch: 1 / (1 + fit.decay * epoch))
        case "step":
            return schedulers.StepLR(optimizer, DROP_EVERY, math.exp(-fit.decay * DROP_EVERY))
        case "cosine":
            return schedulers.CosineAnnealingLR(optimizer, T_max=epochs)
        case "one_cycle":
            return schedulers.OneCycleLR(
                optimizer,
                max_lr=fit.learning_rate,
                total_steps=epochs * n_batches,
                cycle_momentum=False,  # not every optimizer has one
            )


INITIALIZERS: dict[str, Callable[[Any], Any]] = {
    "random": lambda weight: nn.init.normal_(weight, std=RANDOM_STD),
    "zero": nn.init.zeros_,
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
}


def initialize(model: nn.Module, fit: Optimization) -> None:
    """Draw the weights of linear and convolution layers anew, from torch's global generator."""
    if fit.initialization == "default":
        return
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            INITIALIZERS[fit.initialization](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
