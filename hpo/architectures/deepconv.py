"""Report 001, Table II: four convolutions, on both images as two channels or on each image.

The digit loss uses the ten logits before their activation (see `hpo.architectures.fc`).
"""

from collections.abc import Sequence

from torch import nn

from hpo.architectures.blocks import (
    N_DIGITS,
    ComparedPair,
    PlainPair,
    activate,
    convolved,
    dense,
    linear_comparator,
)
from hpo.architectures.contract import Traits, pair_architecture
from hpo.architectures.convolutions import PaddedConv2d


def layers(
    n_images: int,
    channels: Sequence[int],
    third_channels: int,
    fourth_channels: int,
    width: int,
    dropout: float,
    activation: str,
    batch_norm: bool,
) -> nn.Module:
    """Layers 1 to 6 of the report's Table II: map [N, n_images, 14, 14] to digit logits."""
    sizes = (n_images, *channels, third_channels, fourth_channels)
    geometry = ((5, 2, 3), (3, 3, 2), (3, 3, 2), (5, 3, 2))  # kernel, padding, pooling
    convolutions = [
        nn.Sequential(
            *convolved(
                PaddedConv2d(n_in, n_out, kernel_size=kernel, padding=padding),
                pool=pool,
                activation=activation,
                batch_norm=batch_norm,
            )
        )
        for n_in, n_out, (kernel, padding, pool) in zip(sizes, sizes[1:], geometry, strict=False)
    ]  # 14x14 to 4x4, 4x4, 4x4, 3x3
    return nn.Sequential(
        *convolutions,
        nn.Flatten(),
        *dense(9 * fourth_channels, width, dropout, activation=activation, batch_norm=False),
        nn.Linear(width, N_DIGITS),
    )


def deepconv(
    traits: Traits,
    *,
    channels: Sequence[int] = (32, 64),
    third_channels: int = 32,
    fourth_channels: int = 16,
    width: int = 100,
    dropout: float = 0.0,
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """One network that reads both images as two channels; 67,228 parameters."""
    body = layers(
        2, channels, third_channels, fourth_channels, width, dropout, activation, batch_norm
    )
    return PlainPair(body, activate(activation), nn.Linear(N_DIGITS, 2))


def deepconv_aux(
    traits: Traits,
    *,
    channels: Sequence[int] = (32, 64),
    third_channels: int = 32,
    fourth_channels: int = 16,
    width: int = 100,
    dropout: float = 0.0,
    merge: str = "concatenate",
    activation: str = "relu",
    batch_norm: bool = True,
) -> nn.Module:
    """A digit encoder on each image and a linear comparator; 66,448 parameters."""

    def encoder() -> nn.Module:
        return layers(
            1, channels, third_channels, fourth_channels, width, dropout, activation, batch_norm
        )

    return ComparedPair(traits, encoder, lambda: linear_comparator(merge, activation))


SOURCE = "001, Tables II and III"
pair_architecture("deepconv", deepconv, source=SOURCE)
pair_architecture(
    "deepconv-aux", deepconv_aux, source=SOURCE, weight_sharing=True, auxiliary_loss=True
)
