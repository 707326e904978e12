"""Weights as one vector: the same training as of weights by themselves, whatever a network does."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.one_vector import ALIGNED, OneVector
from hpo.optimization import OPTIMIZERS, Optimization, make_optimizer
from hpo.training import images_last


class Small(nn.Module):
    """A convolution laid out channels last, BatchNorm, and weights whose sizes fill no vector.

    A bias before BatchNorm has rounding errors for a gradient, which Adam makes steps of.
    """

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 5, 3, bias=False)
        images_last(self.convolution)
        self.norm = nn.BatchNorm2d(5)
        self.last = nn.Linear(5 * 4, 3)

    def forward(self, images: Tensor) -> Tensor:
        last: Tensor = self.last(self.norm(self.convolution(images)).flatten(1))
        return last


class Limited(Small):
    """Keeps the length of its last weights under 1 as many networks do."""

    def forward(self, images: Tensor) -> Tensor:
        self.last.weight.data = torch.renorm(self.last.weight.data, p=2, dim=0, maxnorm=0.3)
        return super().forward(images)


class Forgetful(Small):
    """Throws gradients away by itself."""

    def forward(self, images: Tensor) -> Tensor:
        self.zero_grad(set_to_none=True)
        return super().forward(images)


class Partly(Small):
    """Has a weight that nothing reads, one that is frozen, and one in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.unread = nn.Parameter(torch.ones(3))
        self.factor = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.norm.weight.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.factor.float()


def made(kind: type[Small]) -> Small:
    torch.manual_seed(0)
    return kind()


def batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(8, 2, 4, 4, generator=generator)
    return images, torch.randint(3, (8,), generator=generator)


def train(network: nn.Module, weights: nn.Module, fit: Optimization) -> None:
    optimizer = make_optimizer(weights, fit)
    for seed in range(5):
        images, targets = batch(seed)
        weights.zero_grad(set_to_none=not isinstance(weights, OneVector))
        nn.functional.cross_entropy(network(images), targets).backward()  # type: ignore[no-untyped-call]
        if isinstance(weights, OneVector):
            weights.take_in()
        optimizer.step()


def trained(kind: type[Small], *, as_one: bool, **fit: Any) -> dict[str, Tensor]:
    network = made(kind)
    weights = OneVector(network) if as_one else network
    train(network, weights, Optimization.make(**{"learning_rate": 0.05} | fit))
    return network.state_dict()


class TestTraining:
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_every_optimizer_comes_to_the_same_weights(self, optimizer: str) -> None:
        fit = {"optimizer": optimizer, "weight_decay": 0.01}
        torch.testing.assert_close(
            trained(Small, as_one=True, **fit), trained(Small, as_one=False, **fit)
        )

    @pytest.mark.parametrize("kind", [Limited, Forgetful, Partly])
    def test_a_network_may_do_with_its_weights_and_gradients_what_it_likes(
        self, kind: type[Small]
    ) -> None:
        alone = trained(kind, as_one=False)
        torch.testing.assert_close(trained(kind, as_one=True), alone)
        begun = made(kind).state_dict()
        assert not torch.equal(alone["last.weight"], begun["last.weight"])


class TestLayout:
    def test_weights_keep_values_and_strides_and_begin_where_their_own_memory_would(self) -> None:
        network = made(Small)
        OneVector(network)
        for mine, before in zip(network.parameters(), made(Small).parameters(), strict=True):
            assert torch.equal(mine, before)
            assert mine.stride() == before.stride()
            assert mine.data_ptr() % (ALIGNED * mine.element_size()) == 0

    def test_there_is_a_vector_for_each_kind_of_weight(self) -> None:
        vectors = OneVector(made(Partly)).vectors
        assert [each.dtype for each in vectors] == [torch.float32, torch.float64]

    def test_what_lies_between_the_weights_stays_0(self) -> None:
        network = made(Small)
        weights = OneVector(network)
        train(network, weights, Optimization.make(optimizer="adamw", weight_decay=0.1))
        (vector,) = weights.vectors
        n = sum(int(each.count_nonzero()) for each in network.parameters())
        assert int(vector.count_nonzero()) == n < len(vector)
