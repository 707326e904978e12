"""Layers and modules that several families of networks share.

Shapes: N batch, P the two images of a pair, C channels, H W image, K classes, F features.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from hpo.architectures.contract import Outputs, Traits
from hpo.architectures.convolutions import MaxPool2d
from hpo.errors import InputError


T = TypeVar("T")

N_DIGITS = 10

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""Activations by name. All are monotonic, so that max pooling may come before or after them."""

MERGES: dict[str, Callable[[Tensor], Tensor]] = {
    "concatenate": lambda parts_NPF: parts_NPF.flatten(1),
    "difference": lambda parts_NPF: parts_NPF[:, 0] - parts_NPF[:, 1],
    "maximum": lambda parts_NPF: parts_NPF.amax(dim=1),
}
"""Functions that merge the features of two images, [N, 2, F], into one vector, by name."""


class ComparedPair(nn.Module):
    """A network that encodes the two images of a pair and compares the two encodings.

    Its `traits` select weight sharing, auxiliary loss and asymmetry loss. `encoder` builds an
    encoder from [N, 1, H, W] to [N, F]. `comparator` builds a module from [N, 2, F] to [N, 2].
    With an auxiliary loss, F is 10 and the encoder returns the logits of the ten digits.
    """

    def __init__(
        self,
        traits: Traits,
        encoder: Callable[[], nn.Module],
        comparator: Callable[[], nn.Module],
    ) -> None:
        super().__init__()
        self.traits = traits
        self.encoded = EncodedPair(encoder, shared=traits.weight_sharing)
        self.comparator = comparator()

    def forward(self, images_NPHW: Tensor) -> Outputs:
        """Map [N, 2, H, W] to answers [N, 2].

        With an auxiliary loss, the outputs include the digit logits. With an asymmetry loss, the
        outputs in training include the answers for the swapped pairs.
        """
        parts_NPF = self.encoded(images_NPHW)
        return Outputs(
            self.comparator(parts_NPF),
            parts_NPF if self.traits.auxiliary_loss else None,
            self._swapped(parts_NPF),
        )

    def _swapped(self, parts_NPF: Tensor) -> Tensor | None:
        """The answer for the swapped pair, which only the asymmetry loss needs; else None."""
        if not (self.traits.asymmetry_loss and self.training):
            return None
        swapped: Tensor = self.comparator(parts_NPF.flip(1))
        return swapped


class EncodedPair(nn.Module):
    """Encodes each image of a pair, with one shared encoder or one encoder per image.

    `make` builds an encoder from [N, 1, H, W] to [N, F].
    """

    def __init__(self, make: Callable[[], nn.Module], *, shared: bool) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([make()] if shared else [make(), make()])

    def forward(self, images_NPHW: Tensor) -> Tensor:
        """Map [N, 2, H, W] to [N, 2, F]."""
        if len(self.encoders) == 1:  # one batch of both images of all pairs
            single = images_NPHW.flatten(0, 1).unsqueeze(1)  # [2N, 1, H, W]
            encoded: Tensor = self.encoders[0](single)  # [2N, F]
            return encoded.view(-1, 2, *encoded.shape[1:])
        sides = [encode(images_NPHW[:, p : p + 1]) for p, encode in enumerate(self.encoders)]
        return torch.stack(sides, dim=1)


class PlainPair(nn.Module):
    """A network that reads both images at once, as two channels."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, images_NPHW: Tensor) -> Outputs:
        """Map [N, 2, H, W] to answers [N, 2]."""
        return Outputs(self.layers(images_NPHW))


class Merge(nn.Module):
    """Merges the features of two images into one vector: concatenate, difference or maximum.

    Raises:
        InputError: no merge has that name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._merge = choose("merge", name, MERGES)

    def width(self, n_features: int) -> int:
        """The length of the merged vector if each image has `n_features` features."""
        return 2 * n_features if self.name == "concatenate" else n_features

    def forward(self, parts_NPF: Tensor) -> Tensor:
        """Map [N, 2, F] to [N, 2F] with `concatenate`, else to [N, F]."""
        return self._merge(parts_NPF)


def linear_comparator(merge: str, activation: str) -> nn.Module:
    """A comparator of an activation, a merge and one linear layer: [N, 2, 10] to [N, 2]."""
    merged = Merge(merge)
    return nn.Sequential(activate(activation), merged, nn.Linear(merged.width(N_DIGITS), 2))


def activate(name: str) -> nn.Module:
    """The activation of that name.

    Raises:
        InputError: no activation has that name.
    """
    return choose("activation", name, ACTIVATIONS)()


def dense(
    n_in: int, n_out: int, dropout: float, *, activation: str = "relu", batch_norm: bool = True
) -> Iterable[nn.Module]:
    """Yield the layers Linear, BatchNorm if `batch_norm`, activation, Dropout."""
    yield nn.Linear(n_in, n_out)
    if batch_norm:
        yield nn.BatchNorm1d(n_out)
    yield activate(activation)
    yield nn.Dropout(dropout)


def convolved(
    convolution: nn.Conv2d, *, pool: int, activation: str = "relu", batch_norm: bool = False
) -> Iterable[nn.Module]:
    """Yield the layers convolution, BatchNorm if `batch_norm`, max pooling, activation.

    `pool` is the side of a pooling window; 1 leaves out the pooling. The reports apply the
    activation before the pooling. Here the activation follows the pooling and processes fewer
    values. The result is the same because all `ACTIVATIONS` are monotonic.
    """
    yield convolution
    if batch_norm:
        yield nn.BatchNorm2d(convolution.out_channels)
    if pool > 1:
        yield MaxPool2d(pool)
    yield activate(activation)


def choose(parameter: str, name: str, choices: Mapping[str, T]) -> T:
    """The entry of `choices` under `name`, the value that a recipe gives to `parameter`.

    Raises:
        InputError: `choices` has no entry of that name.
    """
    if name not in choices:
        raise InputError(f"{parameter} is {name!r}; allowed: {', '.join(choices)}")
    return choices[name]
