"""Report 002, project 1: digit distributions by fully connected layers or by convolutions.

The report gives no widths and no kernels, and does not say whether the digit loss reads the
softmax or the values before it. Here it reads the values before it, in all eight networks; what
the widths are and why is told in the recipe.
"""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair, Merge, convolved, dense
from hpo.architectures.contract import Traits, pair_architecture


class Distributions(nn.Module):
    """Softmax over the last dimension; the shape stays."""

    def forward(self, logits: Tensor) -> Tensor:
        """[..., K] logits to [..., K] probabilities."""
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
    """Two digit encoders ([N, 1, 14, 14] to logits [N, 10]), a comparator of one hidden layer."""

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
    """Encoders of two hidden fully connected layers."""

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
    """Encoders of two hidden convolutions, each with BatchNorm and pooling."""
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

    def encoder() -> nn.Module:  # 14x14 to 6x6 and 2x2
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
