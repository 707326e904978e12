"""Trainings stacked into one model do what each does alone: every network, dropout, odd folds."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture, architectures
from hpo.cross_validation import CrossValidation
from hpo.datasets import Examples, load
from hpo.protocol import Precision
from hpo.setting import Setting
from hpo.stacking import NotStackableError, Stack, together
from hpo.training import DivergedError, Split, Training, repeatable


CPU = torch.device("cpu")
LINEAR = {"optimizer": "sgd", "learning_rate": 0.001}
"""Adam would make whole steps of roundings where a gradient is nearly 0."""

ROUNDING = 2e-3
"""Of what was learned: a value on the border of a ReLU can fall on either side."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with repeatable():
        yield


def splits(entry: Architecture, n: int, n_folds: int = 3) -> list[Split]:
    name = "digits" if entry.dataset in (None, "mnist") else entry.dataset
    examples, order = load(name).draw_train(n, seed=0), torch.arange(n)
    folds = [order % n_folds == fold for fold in range(n_folds)]
    return [
        Split.of(examples.subset(order[~fold]), examples.subset(order[fold]), CPU) for fold in folds
    ]


def setting_of(entry: Architecture, precision: Precision = "float32", **params: Any) -> Setting:
    dropout = {"dropout": 0.3} if "dropout" in entry.hyperparameters else {}
    return Setting(
        architecture=entry,
        params=LINEAR | dropout | params,
        epochs=2,
        batch_size=25,
        precision=precision,
    )


def start(setting: Setting, on: list[Split]) -> list[Training]:
    return [Training(setting, split, CPU, ("fold", n)) for n, split in enumerate(on)]


def farthest(some: list[Training], others: list[Training]) -> float:
    """The largest difference of any weight or buffer."""
    differences: list[float] = [
        (a.double() - b.double()).abs().max().item()
        for one, other in zip(some, others, strict=True)
        for a, b in zip(
            one.model.state_dict().values(), other.model.state_dict().values(), strict=True
        )
    ]
    return max(differences)


def both_ways(setting: Setting, on: list[Split]) -> tuple[list[Training], list[Training]]:
    """Trained alone, and stacked, to the same weights but for rounding."""
    alone, stacked = start(setting, on), start(setting, on)
    begun = start(setting, on)
    units = together(stacked)
    assert any(isinstance(unit, Stack) for unit in units)
    for _ in range(setting.epochs):
        for unit in (*alone, *units):
            unit.run_epoch()
    assert farthest(alone, stacked) < ROUNDING * farthest(alone, begun)
    return alone, stacked


@pytest.mark.parametrize("name", list(architectures))
def test_every_network_of_the_zoo_learns_the_same_stacked(name: str) -> None:
    entry = architectures.get(name)
    alone, stacked = both_ways(setting_of(entry), splits(entry, 150))
    for one, other in zip(alone, stacked, strict=True):
        assert one.curve == pytest.approx(other.curve, abs=0.021)  # one of 50 on the border
        assert other.train_s > 0


@pytest.mark.parametrize(
    "params",
    [
        {"optimizer": "nesterov", "schedule": "one_cycle", "weight_decay": 0.1},
        {"optimizer": "momentum", "schedule": "exponential", "label_smoothing": 0.1},
        {"dropout": 1.0, "comparator_dropout": 0.0},
        {"initialization": "he", "loss": "mse"},
    ],
)
def test_hyperparameters_mean_the_same_stacked(params: dict[str, Any]) -> None:
    entry = architectures.get("siamese")
    both_ways(setting_of(entry, **params), splits(entry, 150))


def test_bfloat16_means_the_same_stacked() -> None:
    entry = architectures.get("fnn-ws-aux")
    both_ways(setting_of(entry, "bfloat16"), splits(entry, 150))


def test_augmented_examples_are_the_same_stacked() -> None:
    entry = architectures.get("siamese")
    params: dict[str, Any] = {"shift": 2.0, "rotation": 10.0}
    both_ways(setting_of(entry, **params), splits(entry, 150))


def test_folds_of_two_sizes_are_two_stacks() -> None:
    entry = architectures.get("siamese")
    on = splits(entry, 160, n_folds=4)
    odd = [*on, *splits(entry, 165, n_folds=3)]
    units = together(start(setting_of(entry), odd))
    assert [isinstance(unit, Stack) for unit in units] == [True, True]
    both_ways(setting_of(entry), odd)


def test_a_cross_validation_gives_the_same_errors_stacked() -> None:
    entry = architectures.get("fnn-ws-aux")
    setting = setting_of(entry, optimizer="adam", learning_rate=0.002)
    curves = []
    for stacked in (False, True):
        folds = CrossValidation(load("digits").draw_train(200, 0), 5, 0, CPU, stacked=stacked)
        *_, trainings = folds.run(setting, ("trial", 1))
        curves.append([each.curve for each in trainings])
    assert len(curves[0]) == 5
    for alone, together_ in zip(*curves, strict=True):
        assert alone == pytest.approx(together_, abs=0.051)


def test_a_member_that_diverges_ends_the_trial_as_it_does_alone() -> None:
    entry = architectures.get("siamese")
    setting = setting_of(entry, optimizer="sgd", learning_rate=1e30)
    (unit,) = together(start(setting, splits(entry, 150)))
    with pytest.raises(DivergedError, match="in epoch 1"):
        unit.run_epoch()


class Looking(nn.Module):
    """A network whose way depends on its values, which members do not share."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(392, 2)

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.line(images.flatten(1))
        return answers if answers.sum() > 0 else -answers


class Drawing(Looking):
    """A network that draws by itself, which the members' seeds would not reach."""

    def forward(self, images: Tensor) -> Tensor:
        answers: Tensor = self.line(images.flatten(1))
        return answers + torch.rand_like(answers)


@pytest.mark.parametrize("network", [Looking, Drawing])
def test_a_network_that_cannot_be_stacked_is_trained_alone_and_it_is_said(
    network: type[nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    entry = Architecture(build=network, name=network.__name__)
    setting = setting_of(entry)
    on = splits(entry, 150)
    with pytest.raises(NotStackableError):
        Stack(start(setting, on))
    trainings = start(setting, on)
    assert together(trainings) == trainings
    assert "cannot be stacked" in caplog.text
    alone = start(setting, on)
    for each in (*trainings, *alone):
        each.run_epoch()
    assert farthest(trainings, alone) == 0.0


def test_a_loss_that_cannot_be_used_is_refused_as_it_is_alone() -> None:
    entry = architectures.get("siamese")
    on = [
        Split.of(Examples(s.train.inputs, s.train.targets), s.held_out, CPU)
        for s in splits(entry, 150)
    ]
    with pytest.raises(Exception, match="no labels of their parts"):
        together(start(setting_of(entry), on))
