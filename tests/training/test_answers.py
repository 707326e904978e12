"""Answers to held-out examples: each must be finite, and no batch of them has one example."""

import math

import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture
from hpo.datasets import Examples
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, answers_to
from hpo.training.metrics import Error, default_error
from hpo.training.split import Split
from hpo.training.vectorized import VectorizedTraining


CPU = torch.device("cpu")
SAYS = r"^answers to held-out examples became infinite or NaN in epoch 1$"


class Spoiled(nn.Module):
    """A network whose answers to held-out examples are multiplied by `factor`."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.line, self.factor = nn.Linear(3, 2), factor

    def forward(self, inputs: Tensor) -> Tensor:
        answers: Tensor = self.line(inputs)
        return answers if self.training else answers * self.factor


class Squeezing(nn.Module):
    """A network that drops every dimension of one entry, and notes the sizes of its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.sizes: list[int] = []

    def forward(self, inputs: Tensor) -> Tensor:
        self.sizes.append(len(inputs))
        answers: Tensor = self.line(inputs).squeeze()
        return answers


def examples(n: int, *, numbers: bool = False) -> Examples:
    inputs = torch.rand(n, 3, generator=torch.Generator().manual_seed(n))
    return Examples(inputs, inputs[:, 0] if numbers else (inputs[:, 0] > 2).long())


def start(factor: float, split: Split) -> Training:
    config = TrainingConfig(
        architecture=Architecture(name="spoiled", build=Spoiled),
        params={"factor": factor},
        epochs=1,
        batch_size=8,
    )
    return Training(config, split, CPU, ("answers",))


def split(error: Error = default_error) -> Split:
    """Held-out examples of class 0 alone, which is the largest entry of two NaN."""
    return Split.of(examples(16), examples(9), CPU, error)


@pytest.mark.parametrize("factor", [math.nan, math.inf, -math.inf])
def test_answers_that_are_not_finite_are_no_class(factor: float) -> None:
    training = start(factor, split())
    with pytest.raises(DivergedError, match=SAYS):
        training.run_epoch()
    assert training.curve == []


def test_an_own_error_is_not_asked_about_such_answers() -> None:
    training = start(math.nan, split(lambda answers, targets: 0.25))
    with pytest.raises(DivergedError, match=SAYS):
        training.run_epoch()
    fine = start(1.0, split(lambda answers, targets: 0.25))
    assert fine.run_epoch() == 0.25


def test_members_of_one_model_are_held_to_the_same() -> None:
    members = [start(math.nan, split()) for _ in range(2)]
    with pytest.raises(DivergedError, match=SAYS):
        VectorizedTraining(members).run_epoch()


def test_an_own_error_may_change_its_answers() -> None:
    def clamped(answers: Tensor, targets: Tensor) -> float:
        return float(answers.clamp_(0, 1).mean())

    assert 0 <= start(1.0, split(clamped)).run_epoch() <= 1


@pytest.mark.parametrize(
    ("n", "sizes"), [(1, [2]), (2, [2]), (200, [200]), (201, [201]), (202, [200, 2])]
)
def test_no_batch_of_an_evaluation_has_one_example(n: int, sizes: list[int]) -> None:
    model, inputs = Squeezing(), examples(n).inputs
    answers = answers_to(model, inputs)
    assert model.sizes == sizes
    assert torch.allclose(answers, model.line(inputs)[:, 0], atol=1e-6)


@pytest.mark.parametrize("n", [1, 201])
def test_members_of_one_model_have_no_such_batch(n: int) -> None:
    config = TrainingConfig(
        architecture=Architecture(name="squeezing", build=Squeezing),
        params={},
        epochs=1,
        batch_size=8,
    )
    on = Split.of(
        examples(16, numbers=True), examples(n, numbers=True), CPU, lambda a, t: float(len(a))
    )
    members = [Training(config, on, CPU, ("members", fold)) for fold in range(2)]
    VectorizedTraining(members).run_epoch()
    assert [member.curve for member in members] == [[n], [n]]
