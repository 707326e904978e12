"""Hyperparameters of loss and optimizer, and the optimizer, schedule and initialization of torch.

Every network has these hyperparameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from torch.optim import lr_scheduler as schedulers

from hpo.errors import InputError


DROP_EVERY = 10
"""Epochs between two reductions of the learning rate by `schedule: step`."""

RANDOM_STD = 0.1
"""Standard deviation of the weights that `initialization: random` draws."""

Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


class Optimization(BaseModel):
    """The hyperparameters of loss and optimizer. Create an instance with `make`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    optimizer: Literal["adam", "adamw", "sgd", "momentum", "nesterov", "adagrad", "rmsprop"] = (
        "adam"
    )
    learning_rate: Number = 0.001
    weight_decay: Number = 0.0
    """L2 penalty. With adamw, weight decay is decoupled from the gradient."""
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Momentum of the optimizers momentum and nesterov."""
    schedule: Literal["none", "exponential", "time_based", "step", "cosine", "one_cycle"] = "none"
    decay: Number = 0.05
    """Decay rate per epoch of the schedules exponential, time_based and step.

    After `epoch` epochs the learning rate is multiplied by e^(-decay epoch) with exponential and
    by 1 / (1 + decay epoch) with time_based. step multiplies it by e^(-10 decay) every 10 epochs.
    """
    initialization: Literal["default", "random", "zero", "he", "xavier"] = "default"
    """Initialization of linear and convolution weights.

    default keeps torch's initialization. The others also set biases to 0.
    """
    loss: Literal["cross_entropy", "mse"] | None = None
    """None means cross_entropy for classes and mse for regression.

    With classes, mse is the mean squared error of the logits against one-hot labels.
    """
    label_smoothing: Share = 0.0
    """Label smoothing of the answer loss and of the auxiliary loss."""
    aux_weight: Number = 1.0
    """Weight of each part's auxiliary loss; the answer loss has weight 1."""
    aux_balance: Share = 0.5
    """The first part's share of twice `aux_weight`; the second part has the rest."""
    asymmetry_weight: Number = 1.0
    """Weight of the asymmetry loss; the answer loss has weight 1."""

    @classmethod
    def make(cls, **values: Any) -> Self:
        """The hyperparameters with these values; the others have their defaults.

        Raises:
            InputError: a value is out of its range; the message names the hyperparameter.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            requirement = first["msg"].removeprefix("Input ")
            raise InputError(
                f"{first['loc'][0]}: {requirement}, but it is {first['input']!r}"
            ) from error


BELONGS_TO = {
    "momentum": ("optimizer", {"momentum", "nesterov"}),
    "decay": ("schedule", {"exponential", "time_based", "step"}),
}
"""Hyperparameters that have an effect only if another hyperparameter has one of these values."""

LOSSES = ("loss", "label_smoothing")
"""Hyperparameters of the built-in losses."""
AUXILIARY = ("aux_weight", "aux_balance")
"""Hyperparameters of networks with an auxiliary loss."""
ASYMMETRY = ("asymmetry_weight",)
"""Hyperparameters of networks with an asymmetry loss."""


def defaults() -> dict[str, Any]:
    """The default of each hyperparameter of `Optimization`."""
    return {name: field.default for name, field in Optimization.model_fields.items()}


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": lambda weights, fit: Adam(weights, **_fused(weights), **_shared(fit)),
    "adamw": lambda weights, fit: AdamW(weights, **_fused(weights), **_shared(fit)),
    "sgd": lambda weights, fit: SGD(weights, **_fused(weights), **_shared(fit)),
    "momentum": lambda weights, fit: SGD(
        weights, momentum=fit.momentum, **_fused(weights), **_shared(fit)
    ),
    "nesterov": lambda weights, fit: SGD(
        weights, momentum=fit.momentum, nesterov=True, **_fused(weights), **_shared(fit)
    ),
    "adagrad": lambda weights, fit: Adagrad(weights, **_fused(weights), **_shared(fit)),
    "rmsprop": lambda weights, fit: RMSprop(weights, **_shared(fit)),
}


def _fused(weights: Sequence[Tensor]) -> dict[str, Any]:
    """Use torch's fused steps, which are faster, unless a weight is complex: they have none."""
    return {"fused": all(weight.is_floating_point() for weight in weights)}


def _shared(fit: Optimization) -> dict[str, Any]:
    return {"lr": fit.learning_rate, "weight_decay": fit.weight_decay}


def make_optimizer(model: nn.Module, fit: Optimization) -> Optimizer:
    """A new optimizer of the model's trainable parameters."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    return OPTIMIZERS[fit.optimizer](weights, fit)


def warm_up() -> None:
    """Create an optimizer, so that torch does its slow imports before the first training.

    The imports take a second. torch has no public setting that disables them.
    """
    make_optimizer(nn.Linear(1, 1), Optimization())


class Schedule:
    """A learning rate schedule. one_cycle changes the rate at each step, the others each epoch."""

    def __init__(
        self, optimizer: Optimizer, fit: Optimization, *, epochs: int, n_batches: int
    ) -> None:
        self._changes_each_step = fit.schedule == "one_cycle"
        self._scheduler = _scheduler(optimizer, fit, epochs, n_batches)

    def after_step(self) -> None:
        """Update the learning rate after a step of the optimizer."""
        if self._changes_each_step and self._scheduler is not None:
            self._scheduler.step()

    def after_epoch(self) -> None:
        """Update the learning rate after an epoch."""
        if not self._changes_each_step and self._scheduler is not None:
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
                cycle_momentum=False,  # not every optimizer has a momentum
            )


INITIALIZERS: dict[str, Callable[[Any], Any]] = {
    "random": lambda weight: nn.init.normal_(weight, std=RANDOM_STD),
    "zero": nn.init.zeros_,
    "he": lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"),
    "xavier": nn.init.xavier_normal_,
}


def initialize(model: nn.Module, fit: Optimization) -> None:
    """Initialize linear and convolution layers as `fit.initialization` says.

    Random numbers come from torch's global generator.
    """
    if fit.initialization == "default":
        return
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            INITIALIZERS[fit.initialization](module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
