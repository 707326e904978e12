"""Parts that several families share.

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
"""None of them ever falls, so that pooling before or after one gives the same."""

MERGES: dict[str, Callable[[Tensor], Tensor]] = {
    "concatenate": lambda parts_NPF: parts_NPF.flatten(1),
    "difference": lambda parts_NPF: parts_NPF[:, 0] - parts_NPF[:, 1],
    "maximum": lambda parts_NPF: parts_NPF.amax(dim=1),
}


class ComparedPair(nn.Module):
    """Two encoded images, compared: what weight sharing, auxiliary and asymmetry loss are made of.

    `encoder` makes an encoder from [N, 1, H, W] to [N, F], `comparator` what goes from [N, 2, F]
    to [N, 2]. With an auxiliary loss F is the 10 digits, and the encoder gives their logits.
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
        """[N, 2, H, W] to answers [N, 2] and, by the traits, digits and the swapped answer."""
        parts_NPF = self.encoded(images_NPHW)
        return Outputs(
            self.comparator(parts_NPF),
            parts_NPF if self.traits.auxiliary_loss else None,
            self._swapped(parts_NPF),
        )

    def _swapped(self, parts_NPF: Tensor) -> Tensor | None:
        """The answer for the pair the other way round, which only the training loss asks for."""
        if not (self.traits.asymmetry_loss and self.training):
            return None
        swapped: Tensor = self.comparator(parts_NPF.flip(1))
        return swapped


class EncodedPair(nn.Module):
    """Reads each image of a pair: one encoder for both (weight sharing), or one for each.

    `make` gives an encoder from [N, 1, H, W] to [N, F].
    """

    def __init__(self, make: Callable[[], nn.Module], *, shared: bool) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([make()] if shared else [make(), make()])

    def forward(self, images_NPHW: Tensor) -> Tensor:
        """[N, 2, H, W] to [N, 2, F]."""
        if len(self.encoders) == 1:  # both images of all pairs as one batch
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
        """[N, 2, H, W] to answers [N, 2]."""
        return Outputs(self.layers(images_NPHW))


class Merge(nn.Module):
    """Makes one vector of the two encoded images: concatenate, difference or maximum.

    Raises:
        InputError: there is no merge of that name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self._merge = choose("merge", name, MERGES)

    def width(self, n_features: int) -> int:
        """How many features come out for `n_features` of each image."""
        return 2 * n_features if self.name == "concatenate" else n_features

    def forward(self, parts_NPF: Tensor) -> Tensor:
        """[N, 2, F] to [N, 2F] or [N, F]."""
        return self._merge(parts_NPF)


def linear_comparator(merge: str, activation: str) -> nn.Module:
    """The activation of each digit's values and one linear map: [N, 2, 10] to [N, 2]."""
    merged = Merge(merge)
    return nn.Sequential(activate(activation), merged, nn.Linear(merged.width(N_DIGITS), 2))


def activate(name: str) -> nn.Module:
    """The activation of that name.

    Raises:
        InputError: there is none.
    """
    return choose("activation", name, ACTIVATIONS)()


def dense(
    n_in: int, n_out: int, dropout: float, *, activation: str = "relu", batch_norm: bool = True
) -> Iterable[nn.Module]:
    """Linear, BatchNorm (or none), activation, Dropout."""
    yield nn.Linear(n_in, n_out)
    if batch_norm:
        yield nn.BatchNorm1d(n_out)
    yield activate(activation)
    yield nn.Dropout(dropout)


def convolved(
    convolution: nn.Conv2d, *, pool: int, activation: str = "relu", batch_norm: bool = False
) -> Iterable[nn.Module]:
    """Convolution, BatchNorm (or none), maximum of pool x pool, activation.

    The activation comes last, where the reports have it before the pooling: it never falls, so
    that the result is the same, and it works on fewer values.
    """
    yield convolution
    if batch_norm:
        yield nn.BatchNorm2d(convolution.out_channels)
    if pool > 1:
        yield MaxPool2d(pool)
    yield activate(activation)


def choose(parameter: str, name: str, choices: Mapping[str, T]) -> T:
    """What stands under a name that a recipe has given.

    Raises:
        InputError: nothing does.
    """
    if name not in choices:
        raise InputError(f"{parameter} is {name!r}; allowed: {', '.join(choices)}")
    return choices[name]
