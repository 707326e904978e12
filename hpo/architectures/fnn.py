"""Report 002, project 1: two digit classifiers, fully connected or convolutional, and a comparator.

The comparator reads the softmax of each digit's logits. The report gives neither widths nor
kernels, and does not say whether the digit loss uses the softmax or the logits. Here the loss uses
the logits in all eight networks. The recipes `fnn.yaml` and `cnn.yaml` give the widths and
kernels that were chosen.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair, Merge, convolved, dense
from hpo.architectures.contract import Traits, pair_architecture


class Distributions(nn.Module):
    """Softmax over the last dimension."""

    def forward(self, logits: Tensor) -> Tensor:
        """Map logits [..., K] to probabilities [..., K]."""
        return logits.softmax(dim=-1)


def compared(
    traits: Traits,
    encoder: Callable[[], nn.Module],
    width: int,
    dropout: float,
    merge: str,
    activation: str,
    batch_norm: bool,
) -> nn.Module:
    """A network of two digit encoders and a comparator with one hidden layer of `width` units.

    `encoder` builds an encoder from [N, 1, 14, 14] to logits [N, 10].
    """

    def comparator() -> nn.Module:
        merged = Merge(merge)
        n_merged = merged.width(N_DIGITS)
        hidden = dense(n_merged, width, dropout, activation=activation, batch_norm=batch_norm)
        return nn.Sequential(Distributions(), merged, *hidden, nn.Linear(width, 2))

    return ComparedPair(traits, encoder, comparator)


def fnn(
    traits: Traits,
    *,
    first_width: int = 128,
    second_width: int = 64,
    comparator_width: int = 64,
    dropout: float = 0.0,
    comparator_dropout: float = 0.0,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """A network whose digit encoders have two hidden fully connected layers."""

    def encoder() -> nn.Module:
        return nn.Sequential(
            nn.Flatten(),
            *dense(196, first_width, dropout, activation=activation, batch_norm=batch_norm),
            *dense(
                first_width, second_width, dropout, activation=activation, batch_norm=batch_norm
            ),
            nn.Linear(second_width, N_DIGITS),
        )

    return compared(
        traits, encoder, comparator_width, comparator_dropout, merge, activation, batch_norm
    )


def cnn(
    traits: Traits,
    *,
    channels: Sequence[int] = (8, 16),
    comparator_width: int = 64,
    dropout: float = 0.0,
    comparator_dropout: float = 0.0,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """A network whose digit encoders have two 3x3 convolutions with BatchNorm and pooling."""
    c1, c2 = channels

    def hidden(n_in: int, n_out: int) -> nn.Module:
        return nn.Sequential(
            *convolved(
                nn.Conv2d(n_in, n_out, kernel_size=3),
                pool=2,
                activation=activation,
                batch_norm=batch_norm,
            ),
            nn.Dropout(dropout),
        )

    def encoder() -> nn.Module:  # image sides 14, 6, 2
        return nn.Sequential(
            hidden(1, c1), hidden(c1, c2), nn.Flatten(), nn.Linear(4 * c2, N_DIGITS)
        )

    return compared(
        traits, encoder, comparator_width, comparator_dropout, merge, activation, batch_norm
    )


SOURCE = "002, Table 1"
for _name, _family in (("fnn", fnn), ("cnn", cnn)):
    pair_architecture(_name, _family, source=SOURCE)
    pair_architecture(f"{_name}-ws", _family, source=SOURCE, weight_sharing=True)
    pair_architecture(f"{_name}-aux", _family, source=SOURCE, auxiliary_loss=True)
    pair_architecture(
        f"{_name}-ws-aux", _family, source=SOURCE, weight_sharing=True, auxiliary_loss=True
    )
