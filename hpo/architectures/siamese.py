"""The networks of report 004: a plain baseline, and digit classifiers whose outputs are compared.

Pooling stands before the ReLU here, where the report has it after: the result is the same, and
the ReLU works on a quarter of the values.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from hpo.architectures.blocks import Crop, EncodedPair, Merge, WholeConv2d, dense
from hpo.architectures.contract import Outputs, pair_architecture


N_DIGITS = 10


def digit_encoder(channels: Sequence[int], dropout: float) -> nn.Module:
    """Extractor and first classifier (report 004, figure A2): [N, 1, 14, 14] to [N, 10].

    The second pooling leaves out the last row and column of its 5x5 input. Followed back to the
    image, nothing beyond its first 12 rows and columns counts: they are cut off before the first
    layer, which changes no result and saves a third of the work.
    """
    c1, c2, c3 = channels
    return nn.Sequential(
        Crop(12),
        nn.Conv2d(1, c1, kernel_size=3),  # 10x10, the report's 12x12
        nn.MaxPool2d(2),  # 5x5, the report's 6x6
        nn.ReLU(),
        nn.Conv2d(c1, c2, kernel_size=2),  # 4x4, the report's 5x5
        nn.MaxPool2d(2),  # 2x2
        nn.ReLU(),
        WholeConv2d(c2, c3, kernel_size=2),  # 1x1
        nn.ReLU(),
        *dense(c3, 75, dropout),
        *dense(75, 75, dropout),
        nn.Linear(75, N_DIGITS),
    )


class ComparedDigits(nn.Module):
    """Two digit classifiers, shared or not, and a second classifier on what they say."""

    def __init__(
        self, channels: Sequence[int], dropout: float, merge: str, *, shared: bool
    ) -> None:
        super().__init__()
        self.digits = EncodedPair(lambda: digit_encoder(channels, dropout), shared=shared)
        self.merge = Merge(merge)
        self.comparator = nn.Sequential(
            *dense(self.merge.width(N_DIGITS), 50, dropout),
            *dense(50, 10, dropout),
            nn.Linear(10, 2),
        )

    def forward(self, images_NPHW: Tensor) -> Outputs:
        """[N, 2, 14, 14] to answers [N, 2] and digits [N, 2, 10]."""
        digits_NPK = self.digits(images_NPHW)
        return Outputs(self.comparator(self.merge(digits_NPK)), digits_NPK)


class Baseline(nn.Module):
    """A plain network that reads both images as two channels (report 004, figure A1)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        c1, c2, c3 = channels
        self.layers = nn.Sequential(
            nn.Conv2d(2, c1, kernel_size=3, groups=2),  # 12x12
            nn.MaxPool2d(2),  # 6x6
            nn.ReLU(),
            nn.Conv2d(c1, c2, kernel_size=3, padding=1),  # 6x6
            nn.MaxPool2d(2),  # 3x3
            nn.ReLU(),
            nn.Conv2d(c2, c3, kernel_size=2),  # 2x2
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(4 * c3, 50),
            nn.ReLU(),
            nn.Linear(50, 50),
            nn.ReLU(),
            nn.Linear(50, 25),
            nn.ReLU(),
            nn.Linear(25, 2),
        )

    def forward(self, images_NPHW: Tensor) -> Outputs:
        """[N, 2, 14, 14] to answers [N, 2]."""
        return Outputs(self.layers(images_NPHW))


@pair_architecture("baseline", source="004, Table I")
def baseline(*, channels: Sequence[int] = (32, 64, 128)) -> nn.Module:
    """81,239 parameters with the report's channels."""
    return Baseline(channels)


@pair_architecture("non-siamese", source="004, Table I", auxiliary_loss=True)
def non_siamese(
    *,
    channels: Sequence[int] = (32, 64, 128),
    dropout: float = 0.25,
    merge: str = "concatenate",
) -> nn.Module:
    """117,516 parameters with the report's channels."""
    return ComparedDigits(channels, dropout, merge, shared=False)


@pair_architecture("siamese", source="004, Table I", weight_sharing=True, auxiliary_loss=True)
def siamese(
    *,
    channels: Sequence[int] = (64, 128, 256),
    dropout: float = 0.25,
    merge: str = "concatenate",
) -> nn.Module:
    """192,601 parameters with the report's channels."""
    return ComparedDigits(channels, dropout, merge, shared=True)
