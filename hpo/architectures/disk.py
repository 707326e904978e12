"""Report 002, project 2: a small multilayer perceptron for the data set `disk`."""

from torch import nn

from hpo.architectures.blocks import activate, dense
from hpo.architectures.contract import Architecture, architectures


def disk_mlp(
    *,
    width: int = 25,
    activation: str = "relu",
    last_activation: str = "relu",
    batch_norm: bool = False,
    dropout: float = 0.0,
) -> nn.Module:
    """A perceptron with 2 inputs, three hidden layers and 2 outputs; 1,427 parameters.

    `last_activation` is the activation of the last hidden layer.
    """
    return nn.Sequential(
        *dense(2, width, dropout, activation=activation, batch_norm=batch_norm),
        *dense(width, width, dropout, activation=activation, batch_norm=batch_norm),
        nn.Linear(width, width),
        *([nn.BatchNorm1d(width)] if batch_norm else []),
        activate(last_activation),
        nn.Linear(width, 2),
    )


architectures.add(
    "disk-mlp",
    Architecture(
        name="disk-mlp", build=disk_mlp, task="disk", dataset="disk", source="002, section 2.6"
    ),
)
