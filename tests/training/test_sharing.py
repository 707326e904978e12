"""Networks of a factory share nothing that training changes; constants they may share."""

import copy
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture
from hpo.datasets import Examples
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.independence import error_of_new_network
from hpo.training.sharing import SharedNetworkError
from hpo.training.split import Split


CPU = torch.device("cpu")


class Line(nn.Module):
    """The network that the others are made of."""

    def __init__(self, line: nn.Module | None = None) -> None:
        super().__init__()
        self.line = line or nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        answers: Tensor = self.head(self.line(inputs))
        return answers


@functools.cache
def cached_whole() -> nn.Module:
    return Line()


@functools.cache
def _encoder() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU())


def cached_part() -> nn.Module:
    return Line(_encoder())


class OfClass(Line):
    """A layer of the class is one for all networks, registered or not."""

    layer: ClassVar[nn.Module] = nn.Linear(4, 4)

    def __init__(self) -> None:
        super().__init__(nn.Identity())

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(self.layer(inputs))


TENSOR = torch.rand(16)


def part_of_a_tensor() -> nn.Module:
    """The weight is a view of a tensor of the module."""
    line = nn.Linear(4, 4)
    line.weight = nn.Parameter(TENSOR.view(4, 4))
    return Line(line)


NORM = nn.BatchNorm1d(4, affine=False)


def running_mean() -> nn.Module:
    """The shared layer has no weights, but what it has seen."""
    return Line(NORM)


class Remembering(Line):
    """The network adds up its inputs in a list of the class."""

    memory: ClassVar[list[Tensor]] = [torch.zeros(4)]

    def forward(self, inputs: Tensor) -> Tensor:
        self.memory[0] += inputs.sum(dim=0)
        return super().forward(inputs)


class Averaging(Line):
    """The networks share a mean that each training replaces by a new tensor."""

    mean: ClassVar[Tensor] = torch.zeros(4)

    def forward(self, inputs: Tensor) -> Tensor:
        if self.training:
            Averaging.mean = Averaging.mean + inputs.mean(dim=0) + 1
        return super().forward(inputs - self.mean)


TOTAL = np.zeros(1)


class Adding(Line):
    """The networks share an array of the module."""

    def forward(self, inputs: Tensor) -> Tensor:
        TOTAL[0] += self.training
        return super().forward(inputs * float(TOTAL[0]))


LEARNED: dict[str, Any] = {}


class GoingOn(Line):
    """The network begins with what the last one learned, as copies."""

    def __init__(self) -> None:
        super().__init__()
        self.load_state_dict(LEARNED or self.state_dict())

    def forward(self, inputs: Tensor) -> Tensor:
        LEARNED.update(copy.deepcopy(self.state_dict()))
        return super().forward(inputs)


LAST: dict[str, Any] = {}


def copy_of_the_last() -> nn.Module:
    model = Line()
    model.load_state_dict(LAST or model.state_dict())
    LAST.update(model.state_dict())
    return model


TABLE = torch.rand(4, 4)


def frozen_table() -> nn.Module:
    line = nn.Linear(4, 4)
    line.weight = nn.Parameter(TABLE, requires_grad=False)
    return Line(line)


class Constant(Line):
    """A constant of the class, with a gap as some masks have."""

    mask: ClassVar[Tensor] = torch.tensor([1.0, 1.0, torch.nan, 1.0])


class Centring(Line):
    """The first inputs set a weight."""

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.is_centred = nn.Parameter(torch.zeros(4)), False

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.is_centred:
            self.centre.data, self.is_centred = inputs.mean(dim=0) + 1, True
        return super().forward(inputs - self.centre)


TEMPLATE = Line()


def copied() -> nn.Module:
    return copy.deepcopy(TEMPLATE)


def drawn_by_numpy() -> nn.Module:
    model = Line()
    weight = np.random.default_rng().normal(size=(4, 4)).astype("float32")
    model.line.weight = nn.Parameter(torch.from_numpy(weight))
    return model


def tied() -> nn.Module:
    """Within one network, layers may share."""
    line = nn.Linear(4, 4)
    return Line(nn.Sequential(line, nn.ReLU(), line))


SHARING = {
    cached_whole: "share the weight line.weight",
    cached_part: "share the weight line.0.weight",
    OfClass: "share the weight layer.weight",
    part_of_a_tensor: "share the weight line.weight",
    running_mean: "share line.running_mean, which training changes",
    Remembering: "share memory.0, which training changes",
    Averaging: "the training of one changes the answers of another",
    Adding: "the training of one changes the answers of another",
    copy_of_the_last: "begins with what an earlier one has learned",
    GoingOn: "begins with what an earlier one has learned",
}


@pytest.fixture
def split() -> Split:
    inputs = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    examples = Examples(inputs, torch.arange(8) % 2)
    return Split.of(examples, examples, CPU)


def config(build: Callable[[], nn.Module]) -> TrainingConfig:
    entry = Architecture(name="mine", build=build)
    return TrainingConfig(architecture=entry, params={}, epochs=1, batch_size=8)


@pytest.mark.parametrize(("build", "says"), SHARING.items(), ids=map(str, range(len(SHARING))))
def test_networks_that_share_what_is_trained_are_refused(
    build: Callable[[], nn.Module], says: str, split: Split
) -> None:
    with pytest.raises(SharedNetworkError, match=f"^the networks of mine .*{says}"):
        error_of_new_network(config(build), split, CPU)


INDEPENDENT = [Line, frozen_table, Constant, Centring, copied, drawn_by_numpy, tied]


@pytest.mark.parametrize("build", INDEPENDENT)
def test_networks_that_share_constants_are_accepted(
    build: Callable[[], nn.Module], split: Split
) -> None:
    for _ in range(2):
        error = error_of_new_network(config(build), split, CPU)
        assert error is not None
        assert 0 <= error <= 1


def test_a_network_out_of_a_pool_is_found_at_its_second_training(split: Split) -> None:
    pool = [Line() for _ in range(4)]
    taken = iter([*pool, *pool])
    pooled = config(lambda: next(taken))
    for fold in range(4):
        Training(pooled, split, CPU, ("fold", fold))
    with pytest.raises(SharedNetworkError, match="share the weight"):
        Training(pooled, split, CPU, ("fold", 4))


def test_a_network_whose_memory_is_free_again_shares_nothing(split: Split) -> None:
    """Most new weights lie where those of the network before lay."""
    for fold in range(20):
        Training(config(Line), split, CPU, ("fold", fold)).run_epoch()
