"""Report 000: two convolutional digit encoders or a shared one, and a comparator of three layers.

The digit loss uses the ten logits of a digit before their activation, which is the first layer of
the comparator. The report does not say whether the loss comes before or after the activation.
After a ReLU, a digit whose value is 0 for every image gets no gradient any more, and whole runs
end at chance level.
"""

from collections.abc import Sequence

from torch import nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair, Merge, activate, convolved, dense
from hpo.architectures.contract import Traits, pair_architecture


def digit_encoder(
    channels: Sequence[int], width: int, dropout: float, activation: str, batch_norm: bool
) -> nn.Module:
    """Report 000, section 2.1: from [N, 1, 14, 14] to digit logits [N, 10]."""
    c1, c2 = channels
    return nn.Sequential(
        *convolved(
            nn.Conv2d(1, c1, kernel_size=3), pool=2, activation=activation, batch_norm=batch_norm
        ),  # 6x6
        nn.Dropout(dropout),
        *convolved(
            nn.Conv2d(c1, c2, kernel_size=3), pool=2, activation=activation, batch_norm=batch_norm
        ),  # 2x2
        nn.Dropout(dropout),
        nn.Flatten(),
        *dense(4 * c2, width, dropout, activation=activation, batch_norm=batch_norm),
        nn.Linear(width, N_DIGITS),
    )


def convpair(
    traits: Traits,
    *,
    channels: Sequence[int] = (32, 64),
    encoder_width: int = 200,
    comparator_width: int = 300,
    dropout: float = 0.0,
    comparator_dropout: float = 0.0,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = False,
) -> nn.Module:
    """The network of report 000, with 241,654 parameters.

    It has 169,428 parameters with a shared encoder, and 72,460 with a shared encoder and 128
    hidden units.
    """

    def encoder() -> nn.Module:
        return digit_encoder(channels, encoder_width, dropout, activation, batch_norm)

    def hidden(n_in: int) -> nn.Sequential:
        return nn.Sequential(
            *dense(
                n_in,
                comparator_width,
                comparator_dropout,
                activation=activation,
                batch_norm=batch_norm,
            )
        )

    def comparator() -> nn.Module:
        merged = Merge(merge)
        return nn.Sequential(
            activate(activation),
            merged,
            hidden(merged.width(N_DIGITS)),
            hidden(comparator_width),
            nn.Linear(comparator_width, 2),
        )

    return ComparedPair(traits, encoder, comparator)


pair_architecture("convpair", convpair, source="000, section 2.1")
pair_architecture("convpair-ws", convpair, source="000, section 2.2", weight_sharing=True)
pair_architecture(
    "convpair-ws-aux", convpair, source="000, section 2.3", weight_sharing=True, auxiliary_loss=True
)
pair_architecture(
    "convpair-ws-aux-dropout",
    convpair,
    source="000, section 2.4",
    weight_sharing=True,
    auxiliary_loss=True,
    dropout=0.7,
)
pair_architecture(
    "convpair-ws-aux-small",
    convpair,
    source="000, section 2.5",
    weight_sharing=True,
    auxiliary_loss=True,
    encoder_width=128,
    comparator_width=128,
)
