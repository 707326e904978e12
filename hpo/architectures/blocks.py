"""Parts that several families share.

Shapes: N batch, P the two images of a pair, C channels, H W image, K classes, F features.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from hpo.errors import InputError


MERGES: dict[str, Callable[[Tensor], Tensor]] = {
    "concatenate": lambda parts_NPF: parts_NPF.flatten(1),
    "difference": lambda parts_NPF: parts_NPF[:, 0] - parts_NPF[:, 1],
    "maximum": lambda parts_NPF: parts_NPF.amax(dim=1),
}


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


class Merge(nn.Module):
    """Makes one vector of the two encoded images: concatenate, difference or maximum.

    Raises:
        InputError: there is no merge of that name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in MERGES:
            raise InputError(f"merge is {name!r}; allowed: {', '.join(MERGES)}")
        self.name = name

    def width(self, n_features: int) -> int:
        """How many features come out for `n_features` of each image."""
        return 2 * n_features if self.name == "concatenate" else n_features

    def forward(self, parts_NPF: Tensor) -> Tensor:
        """[N, 2, F] to [N, 2F] or [N, F]."""
        return MERGES[self.name](parts_NPF)


class Crop(nn.Module):
    """Keeps the upper left corner of an image: what later layers drop need not be computed."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C, size, size]."""
        return images_NCHW[:, :, : self.size, : self.size]


class WholeConv2d(nn.Conv2d):
    """A convolution whose kernel covers its whole input, so that one vector comes out.

    Computed as one matrix product: on a CPU that takes a quarter of the convolution's time.
    """

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """[N, C, H, W], with H and W those of the kernel, to [N, C']."""
        rows = images_NCHW.permute(0, 2, 3, 1).flatten(1)  # no copy where channels come last
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        return nn.functional.linear(rows, weights, self.bias)


def dense(n_in: int, n_out: int, dropout: float) -> Iterable[nn.Module]:
    """Linear, BatchNorm, ReLU, Dropout."""
    yield nn.Linear(n_in, n_out)
    yield nn.BatchNorm1d(n_out)
    yield nn.ReLU()
    yield nn.Dropout(dropout)
