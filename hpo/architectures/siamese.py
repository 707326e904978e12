"""Report 004: a baseline that reads both images at once, and compared digit classifiers."""

from collections.abc import Iterable, Sequence

from torch import nn

from hpo.architectures.blocks import (
    N_DIGITS,
    ComparedPair,
    Merge,
    PlainPair,
    activate,
    convolved,
    dense,
)
from hpo.architectures.contract import Traits, pair_architecture
from hpo.architectures.convolutions import Crop, TileConv2d, WholeConv2d


def digit_encoder(
    channels: Sequence[int],
    width: int,
    dropout: float,
    *,
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """Extractor and digit classifier (report 004, figure A2): from [N, 1, 14, 14] to [N, 10].

    The second pooling of the report's network ignores the last row and column of its 5x5 input.
    The outputs therefore depend only on the first 12 rows and columns of the image. Cropping the
    image to these changes no result and saves a third of the computation.
    """
    c1, c2, c3 = channels
    return nn.Sequential(
        Crop(12),
        # convolution to 10x10 (report: 12x12), pooling to 5x5 (report: 6x6)
        *convolved(nn.Conv2d(1, c1, kernel_size=3), pool=2, activation=activation),
        # convolution to 4x4 (report: 5x5), pooling to 2x2
        *convolved(TileConv2d(c1, c2, kernel_size=2), pool=2, activation=activation),
        WholeConv2d(c2, c3, kernel_size=2),  # to 1x1
        activate(activation),
        *dense(c3, width, dropout, activation=activation, batch_norm=batch_norm),
        *dense(width, width, dropout, activation=activation, batch_norm=batch_norm),
        nn.Linear(width, N_DIGITS),
    )


def siamese(
    traits: Traits,
    *,
    channels: Sequence[int] = (64, 128, 256),
    encoder_width: int = 75,
    comparator_width: int = 50,
    dropout: float = 0.25,
    comparator_dropout: float | None = None,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """Two digit encoders, or a shared one, and a comparator.

    The shared encoder gives 192,601 parameters. Two encoders with 32, 64 and 128 channels give
    117,516. The comparator's second hidden layer has a fifth of the units of its first. Without
    `comparator_dropout`, the comparator uses `dropout`.
    """

    def encoder() -> nn.Module:
        return digit_encoder(
            channels, encoder_width, dropout, activation=activation, batch_norm=batch_norm
        )

    def hidden(n_in: int, n_out: int) -> Iterable[nn.Module]:
        rate = dropout if comparator_dropout is None else comparator_dropout
        return dense(n_in, n_out, rate, activation=activation, batch_norm=batch_norm)

    def comparator() -> nn.Module:
        merged, last = Merge(merge), comparator_width // 5
        return nn.Sequential(
            merged,
            *hidden(merged.width(N_DIGITS), comparator_width),
            *hidden(comparator_width, last),
            nn.Linear(last, 2),
        )

    return ComparedPair(traits, encoder, comparator)


def baseline(
    traits: Traits,
    *,
    channels: Sequence[int] = (32, 64, 128),
    width: int = 50,
    activation: str = "relu",
) -> nn.Module:
    """The baseline of report 004, figure A1: 81,239 parameters with the report's channels.

    Of its three fully connected hidden layers, the first two have `width` units, the third half.
    """
    c1, c2, c3 = channels
    return PlainPair(
        *convolved(nn.Conv2d(2, c1, kernel_size=3, groups=2), pool=2, activation=activation),  # 6x6
        *convolved(nn.Conv2d(c1, c2, kernel_size=3, padding=1), pool=2, activation=activation),
        nn.Conv2d(c2, c3, kernel_size=2),  # 3x3 to 2x2
        activate(activation),
        nn.Flatten(),
        nn.Linear(4 * c3, width),
        activate(activation),
        nn.Linear(width, width),
        activate(activation),
        nn.Linear(width, width // 2),
        activate(activation),
        nn.Linear(width // 2, 2),
    )


SOURCE = "004, Table I"
pair_architecture("baseline", baseline, source=SOURCE)
pair_architecture(
    "non-siamese", siamese, source=SOURCE, auxiliary_loss=True, channels=(32, 64, 128)
)
pair_architecture("siamese", siamese, source=SOURCE, weight_sharing=True, auxiliary_loss=True)
