"""The training loss, by hand: of answers, of each part's own label, of swapped parts."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.architectures import Outputs
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.training.losses import make_loss
from hpo.training.optimization import Optimization


LOGITS = [[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]]
ANSWERS = [1, 0]
SWAPPED = [[0.3, -0.4], [1.5, 2.5]]
TARGETS = [1, 0]


def examples(targets: Any, auxiliary: Any = None) -> Examples:
    n = len(targets)
    labels = None if auxiliary is None else torch.tensor(auxiliary)
    return Examples(torch.zeros(n, 2), torch.tensor(targets), labels)


def loss_of(outputs: Outputs, batch: Examples, **given: Any) -> float:
    """The loss of a batch out of a larger training set."""
    more = torch.arange(len(batch)).repeat(3)
    loss = make_loss(Optimization.make(**given), batch.subset(more))
    return loss(outputs, batch).item()


def log_softmax(logits: list[float]) -> list[float]:
    total = math.log(sum(math.exp(each) for each in logits))
    return [each - total for each in logits]


def cross_entropy(rows: list[list[float]], targets: list[int], smoothing: float = 0.0) -> float:
    """The mean over rows of what is wanted times minus log probability."""
    losses = []
    for logits, target in zip(rows, targets, strict=True):
        wanted = one_hot(target, len(logits), smoothing)
        losses.append(-sum(q * p for q, p in zip(wanted, log_softmax(logits), strict=True)))
    return sum(losses) / len(losses)


def one_hot(target: int, n: int, smoothing: float) -> list[float]:
    """The wanted distribution: all of it on the target but for an even share of the smoothing."""
    return [(1 - smoothing) * (k == target) + smoothing / n for k in range(n)]


def squared(rows: list[list[float]], targets: list[int], smoothing: float = 0.0) -> float:
    errors = [
        (value - wanted) ** 2
        for logits, target in zip(rows, targets, strict=True)
        for value, wanted in zip(logits, one_hot(target, len(logits), smoothing), strict=True)
    ]
    return sum(errors) / len(errors)


class TestClasses:
    @pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
    @pytest.mark.parametrize(
        ("name", "by_hand"), [("cross_entropy", cross_entropy), ("mse", squared)]
    )
    def test_a_loss_is_its_formula(self, name: str, by_hand: Any, smoothing: float) -> None:
        found = loss_of(
            Outputs(torch.tensor(LOGITS)), examples(ANSWERS), loss=name, label_smoothing=smoothing
        )
        assert found == pytest.approx(by_hand(LOGITS, ANSWERS, smoothing), rel=1e-6)

    def test_cross_entropy_is_the_default(self) -> None:
        found = loss_of(Outputs(torch.tensor(LOGITS)), examples(ANSWERS))
        assert found == pytest.approx(cross_entropy(LOGITS, ANSWERS), rel=1e-6)


class TestNumbers:
    @pytest.mark.parametrize("name", [None, "mse"])
    @pytest.mark.parametrize("answers", [[1.0, 4.0], [[1.0], [4.0]]], ids=["N", "N1"])
    def test_they_have_the_squared_error(self, name: str | None, answers: Any) -> None:
        found = loss_of(Outputs(torch.tensor(answers)), examples([0.5, 2.0]), loss=name)
        assert found == pytest.approx((0.5**2 + 2.0**2) / 2)

    def test_several_numbers_count_alike(self) -> None:
        answers = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        found = loss_of(Outputs(answers), examples([[0.0, 2.0], [3.0, 1.0]]))
        assert found == pytest.approx((1 + 0 + 0 + 9) / 4)

    def test_cross_entropy_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"^loss: cross_entropy is for classes, .*; use mse$"):
            make_loss(Optimization.make(loss="cross_entropy"), examples([0.5, 2.0]))


def digits(n_parts: int = 2, smoothing: float = 0.0) -> tuple[Tensor, list[list[int]], list[float]]:
    """Logits [2, P, 10] of each part, their labels, and the cross-entropy of each part by hand."""
    logits = torch.randn(2, n_parts, 10, generator=torch.Generator().manual_seed(0))
    labels = [[3, 7, 0][:n_parts], [9, 1, 4][:n_parts]]
    by_part = [
        cross_entropy(logits[:, part].tolist(), [row[part] for row in labels], smoothing)
        for part in range(n_parts)
    ]
    return logits, labels, by_part


class TestAuxiliary:
    answer = cross_entropy(SWAPPED, TARGETS)

    def loss(self, n_parts: int = 2, **given: Any) -> float:
        logits, labels, _ = digits(n_parts)
        outputs = Outputs(torch.tensor(SWAPPED), logits)
        return loss_of(outputs, examples(TARGETS, labels), **given)

    @pytest.mark.parametrize("n_parts", [1, 2, 3])
    @pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
    def test_every_parts_own_loss_is_added_by_its_weight(self, n_parts: int, weight: float) -> None:
        _, _, by_part = digits(n_parts)
        expected = self.answer + weight * sum(by_part)
        assert self.loss(n_parts, aux_weight=weight) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(("first", "second"), [(0.3, 1.2), (2.0, 0.0), (0.0, 1.0), (0.7, 0.7)])
    def test_the_balance_gives_two_parts_weights_of_their_own(
        self, first: float, second: float
    ) -> None:
        _, _, by_part = digits()
        found = self.loss(aux_weight=(first + second) / 2, aux_balance=first / (first + second))
        expected = self.answer + first * by_part[0] + second * by_part[1]
        assert found == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("n_parts", [1, 3])
    def test_the_balance_is_for_two_parts_alone(self, n_parts: int) -> None:
        with pytest.raises(InputError, match=r"^aux_balance: only examples of two parts"):
            self.loss(n_parts, aux_balance=0.4)

    def test_the_balance_is_refused_where_there_are_no_parts(self) -> None:
        with pytest.raises(InputError, match=r"^aux_balance: only examples of two parts"):
            make_loss(Optimization.make(aux_balance=0.4), examples(TARGETS))

    def test_without_outputs_for_parts_the_loss_is_the_answer_s(self) -> None:
        _, labels, _ = digits()
        found = loss_of(Outputs(torch.tensor(SWAPPED)), examples(TARGETS, labels), aux_weight=9.0)
        assert found == pytest.approx(self.answer, rel=1e-6)

    def test_parts_without_labels_are_told_and_not_passed_over(self) -> None:
        logits, _, _ = digits()
        with pytest.raises(
            InputError,
            match=r"^auxiliary loss: .* no labels of the parts; use another data set or network$",
        ):
            loss_of(Outputs(torch.tensor(SWAPPED), logits), examples(TARGETS))

    @pytest.mark.parametrize("n_parts", [1, 2, 3])
    def test_label_smoothing_is_for_each_part_too(self, n_parts: int) -> None:
        _, _, by_part = digits(n_parts, smoothing=0.2)
        expected = cross_entropy(SWAPPED, TARGETS, 0.2) + 0.7 * sum(by_part)
        found = self.loss(n_parts, label_smoothing=0.2, aux_weight=0.7)
        assert found == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("balance", [0.5, 0.3, 0.0, 1.0])
    def test_smoothed_parts_are_balanced_alike(self, balance: float) -> None:
        _, _, (first, second) = digits(smoothing=0.2)
        expected = cross_entropy(SWAPPED, TARGETS, 0.2)
        expected += 2 * 0.7 * (balance * first + (1 - balance) * second)
        found = self.loss(label_smoothing=0.2, aux_weight=0.7, aux_balance=balance)
        assert found == pytest.approx(expected, rel=1e-6)


class TestAsymmetry:
    @pytest.mark.parametrize("weight", [0.0, 1.0, 0.4])
    @pytest.mark.parametrize(
        ("name", "by_hand"), [("cross_entropy", cross_entropy), ("mse", squared)]
    )
    def test_swapped_parts_must_get_the_opposite_answer(
        self, name: str, by_hand: Any, weight: float
    ) -> None:
        logits = [row[:2] for row in LOGITS]
        outputs = Outputs(torch.tensor(logits), swapped=torch.tensor(SWAPPED))
        found = loss_of(outputs, examples(TARGETS), loss=name, asymmetry_weight=weight)
        opposite = [1 - target for target in TARGETS]
        expected = by_hand(logits, TARGETS) + weight * by_hand(SWAPPED, opposite)
        assert found == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize(
        ("answers", "targets"),
        [(LOGITS, ANSWERS), ([[1.0], [4.0]], [0.5, 2.0]), ([[1.0, 2.0]], [[0.5, 2.0]])],
        ids=["three classes", "a number", "two numbers"],
    )
    def test_only_a_choice_between_two_has_an_opposite(self, answers: Any, targets: Any) -> None:
        outputs = Outputs(torch.tensor(answers), swapped=torch.tensor(answers))
        with pytest.raises(InputError, match=r"^asymmetry loss: only a choice between two answers"):
            loss_of(outputs, examples(targets))
