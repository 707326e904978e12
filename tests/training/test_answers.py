"""Answers to held-out examples: one finite answer for each, and no batch has one example."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture
from hpo.datasets import Examples
from hpo.errors import InputError
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


class Reshaped(Spoiled):
    """A network whose answers to held-out examples have another shape."""

    def __init__(self, shape: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, inputs: Tensor) -> Tensor:
        answers = super().forward(inputs)
        return answers if self.training else self.shape(answers)


RESHAPED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "another dimension": (lambda answers: answers[:, :, None], r"\[9, 2, 1\] to examples of"),
    "one column": (lambda answers: answers[:, :1], r"\[9, 1\] to examples of the classes 0 to 1"),
    "classes": (lambda answers: answers.argmax(dim=1), r"\[9\] to examples of the classes 0 to 1"),
    "one batch": (lambda answers: answers[None], r"\[1, 9, 2\] to 9 held-out"),
    "one answer": (lambda answers: answers[:1], r"\[1, 2\] to 9 held-out"),
    "one too few": (lambda answers: answers[1:], r"\[8, 2\] to 9 held-out"),
}


@pytest.mark.parametrize(("shape", "says"), RESHAPED.values(), ids=list(RESHAPED))
def test_answers_of_another_shape_are_not_compared(
    shape: Callable[[Tensor], Tensor], says: str
) -> None:
    held_out = Examples(torch.rand(9, 3), torch.arange(9) % 2)
    config = TrainingConfig(
        architecture=Architecture(name="reshaped", build=lambda: Reshaped(shape)),
        params={},
        epochs=1,
        batch_size=8,
    )
    training = Training(config, Split.of(examples(16), held_out, CPU), CPU, ("answers",))
    with pytest.raises(InputError, match=f"^the network returns answers {says}"):
        training.run_epoch()


class Doubling(Spoiled):
    """A network that changes its inputs in place."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs.mul_(2))


def brighter(examples: Examples) -> Examples:
    examples.inputs.add_(1)
    return examples


def test_a_user_s_code_cannot_change_the_examples_of_later_trials() -> None:
    on = split(lambda answers, targets: float(targets.fill_(0).sum()))
    before = on.train.copy(), on.held_out.copy()
    entry = Architecture(name="doubling", build=Doubling, augment=brighter)
    config = TrainingConfig(architecture=entry, params={}, epochs=1, batch_size=8)
    Training(config, on, CPU, ("change",)).run_epoch()
    for old, new in zip(before, (on.train, on.held_out), strict=True):
        assert torch.equal(old.inputs, new.inputs)
        assert torch.equal(old.targets, new.targets)


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
