"""Report 001, Table I: fully connected layers, on both images at once or on each image.

The digit loss uses the ten logits of a digit before their activation, which is the first layer of
the comparator. The report does not say whether the loss comes before or after the activation.
After a ReLU, a digit whose value is 0 for every image gets no gradient any more, and whole runs
end at chance level.
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
    """Layers 1 to 3 of the report's Table I: map [N, ...] to digit logits [N, 10].

    Each example has `n_in` values.

    Pooling halves the outputs of the first two layers.
    """

    def hidden(n_in: int, width: int) -> nn.Module:
        normalization = [nn.BatchNorm1d(width)] if batch_norm else []
        pooling = (activate(activation), nn.MaxPool1d(2), nn.Dropout(dropout))
        return nn.Sequential(nn.Linear(n_in, width), *normalization, *pooling)

    return nn.Sequential(
        nn.Flatten(),
        hidden(n_in, first_width),
        hidden(first_width // 2, second_width),
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
    """One network that reads both images at once; 72,032 parameters."""
    body = layers(2 * N_PIXELS, first_width, second_width, dropout, activation, batch_norm)
    return PlainPair(body, activate(activation), nn.Linear(N_DIGITS, 2))


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
    """A digit encoder on each image and a linear comparator; 40,692 parameters."""

    def encoder() -> nn.Module:
        return layers(N_PIXELS, first_width, second_width, dropout, activation, batch_norm)

    return ComparedPair(traits, encoder, lambda: linear_comparator(merge, activation))


SOURCE = "001, Tables I and III"
pair_architecture("fc", fc, source=SOURCE)
pair_architecture("fc-aux", fc_aux, source=SOURCE, weight_sharing=True, auxiliary_loss=True)
