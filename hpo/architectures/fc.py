"""Report 001, Table I: fully connected layers, on both images at once or on each in turn.

The comparator begins with the activation of the ten values of each digit; the digit loss reads them
before it. The report does not say where it reads them. After a ReLU a digit whose value is 0 for
every image could never be learned again, and whole runs end at chance.
"""

from torch import nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair, PlainPair, activate, linear_comparator
from hpo.architectures.contract import Traits, pair_architecture


N_PIXELS = 14 * 14


def layers(
    n_in: int,
    first_width: int,
    second_width: int,
    dropout: float,
    activation: str,
    batch_norm: bool,
) -> nn.Module:
    """Layers 1 to 3 of the table: [N, ...] of n_in values to the logits of the digits [N, 10]."""

    def halved(n_in: int, width: int) -> nn.Module:
        normalized = [nn.BatchNorm1d(width)] if batch_norm else []
        pooled = (activate(activation), nn.MaxPool1d(2), nn.Dropout(dropout))
        return nn.Sequential(nn.Linear(n_in, width), *normalized, *pooled)

    return nn.Sequential(
        nn.Flatten(),
        halved(n_in, first_width),
        halved(first_width // 2, second_width),
        nn.Linear(second_width // 2, N_DIGITS),
    )


def fc(
    traits: Traits,
    *,
    first_width: int = 160,
    second_width: int = 100,
    dropout: float = 0.5,
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """72,032 parameters."""
    read = layers(2 * N_PIXELS, first_width, second_width, dropout, activation, batch_norm)
    return PlainPair(read, activate(activation), nn.Linear(N_DIGITS, 2))


def fc_aux(
    traits: Traits,
    *,
    first_width: int = 160,
    second_width: int = 100,
    dropout: float = 0.5,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """40,692 parameters."""

    def encoder() -> nn.Module:
        return layers(N_PIXELS, first_width, second_width, dropout, activation, batch_norm)

    return ComparedPair(traits, encoder, lambda: linear_comparator(merge, activation))


SOURCE = "001, Tables I and III"
pair_architecture("fc", fc, source=SOURCE)
pair_architecture("fc-aux", fc_aux, source=SOURCE, weight_sharing=True, auxiliary_loss=True)
