"""Beyond the reports: one digit encoder, and a comparison that is computed, not learned."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from hpo.architectures.blocks import N_DIGITS, ComparedPair
from hpo.architectures.contract import Traits, pair_architecture
from hpo.architectures.convolutions import MaxPool2d


class AtMost(nn.Module):
    """P(first <= second) of two digits that are drawn from the encoders' distributions.

    Summed over all pairs of digits as logarithms, so that no probability is too small to learn.
    """

    in_order: Tensor

    def __init__(self) -> None:
        super().__init__()
        first, second = torch.meshgrid(
            torch.arange(N_DIGITS), torch.arange(N_DIGITS), indexing="ij"
        )
        self.register_buffer("in_order", (first <= second).flatten(), persistent=False)

    def forward(self, digits_NPK: Tensor) -> Tensor:
        """Digit logits [N, 2, 10] to the logarithms [N, 2] of P(first > second) and P(<=)."""
        first_NK, second_NK = digits_NPK.log_softmax(dim=2).unbind(1)
        both = (first_NK[:, :, None] + second_NK[:, None, :]).flatten(1)  # each pair of digits
        greater = both.masked_fill(self.in_order, -torch.inf)
        at_most = both.masked_fill(~self.in_order, -torch.inf)
        return torch.stack((greater.logsumexp(dim=1), at_most.logsumexp(dim=1)), dim=1)


def encoder(channels: Sequence[int], dropout: float) -> nn.Module:
    """Two 3x3 convolutions at 14x14, two at 7x7, one at 3x3: [N, 1, 14, 14] to logits [N, 10]."""
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
    """A 3x3 convolution that keeps the size, BatchNorm, ReLU."""
    yield nn.Conv2d(n_in, n_out, kernel_size=3, padding=1, bias=False)
    yield nn.BatchNorm2d(n_out)
    yield nn.ReLU()


def ordinal(
    traits: Traits, *, channels: Sequence[int] = (22, 44, 88), dropout: float = 0.1
) -> nn.Module:
    """66,868 parameters."""
    return ComparedPair(traits, lambda: encoder(channels, dropout), AtMost)


pair_architecture(
    "ordinal", ordinal, source="beyond the reports", weight_sharing=True, auxiliary_loss=True
)
