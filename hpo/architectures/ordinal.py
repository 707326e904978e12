"""A network of our own: a shared digit encoder, and a comparison that is computed, not learned."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair
from hpo.architectures.contract import Traits, pair_architecture
from hpo.architectures.convolutions import MaxPool2d


class AtMost(nn.Module):
    """The probability that the first digit is at most the second, given both digit distributions.

    It is a sum over all pairs of digits. The sum is computed with logarithms, so that very small
    probabilities still have gradients.
    """

    in_order: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second = torch.meshgrid(
            torch.arange(N_DIGITS), torch.arange(N_DIGITS), indexing="ij"
        )
        self.register_buffer("in_order", (first <= second).flatten(), persistent=False)

    def forward(self, digits_NPK: Tensor) -> Tensor:
        """Map digit logits [N, 2, 10] to the logs of P(first > second) and P(first <= second)."""
        first_NK, second_NK = digits_NPK.log_softmax(dim=2).unbind(1)
        pairs = (first_NK[:, :, None] + second_NK[:, None, :]).flatten(1)  # [N, 100]
        greater = pairs.masked_fill(self.in_order, -torch.inf)
        at_most = pairs.masked_fill(~self.in_order, -torch.inf)
        return torch.stack((greater.logsumexp(dim=1), at_most.logsumexp(dim=1)), dim=1)


def encoder(channels: Sequence[int], dropout: float) -> nn.Module:
    """A convolutional encoder from [N, 1, 14, 14] to digit logits [N, 10].

    It has two 3x3 convolutions at 14x14 pixels, two at 7x7 and one at 3x3.
    """
    c1, c2, c3 = channels

    def layers() -> Iterator[nn.Module]:
        yield from normalized(1, c1)
        yield from normalized(c1, c1)
        yield MaxPool2d(2)
        yield nn.Dropout(dropout)
        yield from normalized(c1, c2)
        yield from normalized(c2, c2)
        yield MaxPool2d(2)
        yield nn.Dropout(dropout)
        yield from normalized(c2, c3)
        yield nn.AdaptiveAvgPool2d(1)
        yield nn.Flatten()
        yield nn.Dropout(dropout)
        yield nn.Linear(c3, N_DIGITS)

    return nn.Sequential(*layers())


def normalized(n_in: int, n_out: int) -> Iterator[nn.Module]:
    """Yield a 3x3 convolution that keeps the image size, BatchNorm and ReLU."""
    yield nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False)
    yield nn.BatchNorm2d(n_out)
    yield nn.ReLU()


def ordinal(
    traits: Traits, *, channels: Sequence[int] = (22, 44, 88), dropout: float = 0.1
) -> nn.Module:
    """A shared digit encoder and the computed comparison `AtMost`; 66,868 parameters."""
    return ComparedPair(traits, lambda: encoder(channels, dropout), AtMost)


pair_architecture(
    "ordinal", ordinal, source="beyond the reports", weight_sharing=True, auxiliary_loss=True
)
