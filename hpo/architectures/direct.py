"""Report 003: LeNet-like encoders of the original image (direct) or the enlarged one (SHres)."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo.architectures.blocks import N_DIGITS, ComparedPair, Merge, convolved, dense
from hpo.architectures.contract import Traits, pair_architecture
from hpo.architectures.convolutions import FirstConv2d


class Enlarge(nn.Module):
    """The fixed steps of SHres: doubling the size by nearest neighbour, smoothing, sharpening.

    The report names the steps without their parameters. Here the image is smoothed by the 3x3
    binomial kernel with replicated borders. Sharpening sets pixels darker than `threshold` to
    `threshold`, which removes the faint rims of strokes. Pixels are standardized, so `threshold`
    counts standard deviations from the mean.
    """

    kernel: Tensor

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        row = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(row, row)[None, None])
        self.sharpen = nn.Threshold(threshold, threshold)

    def forward(self, images_N1HW: Tensor) -> Tensor:
        """Map [N, 1, H, W] to [N, 1, 2H, 2W]."""
        larger = functional.interpolate(images_N1HW, scale_factor=2, mode="nearest")
        padded = functional.pad(larger, (1, 1, 1, 1), mode="replicate")
        sharpened: Tensor = self.sharpen(functional.conv2d(padded, self.kernel))
        return sharpened


def classifier(
    channels: int, widths: Sequence[int], dropout: float, activation: str, batch_norm: bool
) -> nn.Module:
    """Three fully connected layers from [N, C, 4, 4] to digit logits [N, 10]."""
    w1, w2 = widths
    return nn.Sequential(
        nn.Flatten(),
        *dense(16 * channels, w1, dropout, activation=activation, batch_norm=batch_norm),
        *dense(w1, w2, dropout, activation=activation, batch_norm=batch_norm),
        nn.Linear(w2, N_DIGITS),
    )


def lesser(
    widths: Sequence[int], dropout: float, merge: str, activation: str, batch_norm: bool
) -> nn.Module:
    """The comparator, which the report calls "lesser": from [N, 2, 10] to [N, 2]."""
    w1, w2 = widths
    merged = Merge(merge)
    n_merged = merged.width(N_DIGITS)
    return nn.Sequential(
        merged,
        *dense(n_merged, w1, dropout, activation=activation, batch_norm=batch_norm),
        *dense(w1, w2, dropout, activation=activation, batch_norm=batch_norm),
        nn.Linear(w2, 2),
    )


def basic_extractor(channels: Sequence[int], activation: str, batch_norm: bool) -> nn.Module:
    """A 3x3 convolution with pooling and a 1x1 convolution: image sides 14, 12, 4."""
    c1, c2 = channels
    first = FirstConv2d(1, c1, kernel_size=3)
    return nn.Sequential(
        *convolved(first, pool=3, activation=activation, batch_norm=batch_norm),
        nn.Conv2d(c1, c2, kernel_size=1),
    )


def direct_extractor(channels: Sequence[int], activation: str, batch_norm: bool) -> nn.Module:
    """Two padded 3x3 convolutions with pooling: image sides 14, 16, 8, 4."""
    c1, c2 = channels
    first = FirstConv2d(1, c1, kernel_size=3, padding=2)
    second = nn.Conv2d(c1, c2, kernel_size=3, padding=1)
    return nn.Sequential(
        *convolved(first, pool=2, activation=activation, batch_norm=batch_norm),
        *convolved(second, pool=2, activation=activation, batch_norm=batch_norm),
    )


def shres_extractor(channels: Sequence[int], activation: str, batch_norm: bool) -> nn.Module:
    """Two 5x5 convolutions with pooling on the enlarged image: image sides 28, 24, 12, 8, 4."""
    c1, c2 = channels
    first, second = nn.Conv2d(1, c1, kernel_size=5), nn.Conv2d(c1, c2, kernel_size=5)
    return nn.Sequential(
        Enlarge(),
        *convolved(first, pool=2, activation=activation, batch_norm=batch_norm),
        *convolved(second, pool=2, activation=activation, batch_norm=batch_norm),
    )


def lenet(
    extractor: Callable[[Sequence[int], str, bool], nn.Module],
    traits: Traits,
    *,
    channels: Sequence[int] = (6, 16),
    first_width: int = 120,
    second_width: int = 84,
    comparator_width: int = 12,
    dropout: float = 0.0,
    comparator_dropout: float = 0.0,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = False,
) -> nn.Module:
    """A digit encoder of extractor and classifier, and a comparator.

    The second hidden layer of the comparator has two thirds of `comparator_width` units.
    """
    widths = (first_width, second_width)

    def encoder() -> nn.Module:
        return nn.Sequential(
            extractor(channels, activation, batch_norm),
            classifier(channels[-1], widths, dropout, activation, batch_norm),
        )

    def comparator() -> nn.Module:
        lesser_widths = (comparator_width, 2 * comparator_width // 3)
        return lesser(lesser_widths, comparator_dropout, merge, activation, batch_norm)

    return ComparedPair(traits, encoder, comparator)


SOURCE = "003, sections 1.5 and 3"
VARIANTS = {
    "ws": Traits(weight_sharing=True),
    "al": Traits(auxiliary_loss=True),
    "al-ws": Traits(weight_sharing=True, auxiliary_loss=True),
    "al-ws-asym": Traits(weight_sharing=True, auxiliary_loss=True, asymmetry_loss=True),
}
pair_architecture("direct-basic", partial(lenet, basic_extractor), source=SOURCE)
for _kind, _extractor in (("direct", direct_extractor), ("shres", shres_extractor)):
    for _variant, _traits in VARIANTS.items():
        pair_architecture(
            f"{_kind}-{_variant}", partial(lenet, _extractor), source=SOURCE, **_traits._asdict()
        )
