"""Errors of answers: the share of wrong classes, the unexplained variance, a data set's own."""

import pytest
import torch
from sklearn.metrics import r2_score
from torch import Tensor

from hpo.datasets import load_dataset
from hpo.datasets.pairs import PairDataSet, Pool
from hpo.training.metrics import default_error, error_function, misclassified, unexplained_variance


def test_the_share_of_wrong_answers_counts_the_largest_entry() -> None:
    answers = torch.tensor([[0.1, 0.9, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0], [5.0, 6.0, 4.0]])
    assert misclassified(answers, torch.tensor([1, 0, 2, 1])) == 0.0
    assert misclassified(answers, torch.tensor([1, 1, 2, 1])) == 0.25
    assert misclassified(answers, torch.tensor([0, 1, 0, 0])) == 1.0


@pytest.mark.parametrize("shape", [(40,), (40, 1), (40, 3)])
def test_the_unexplained_variance_is_1_minus_r_squared(shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(shape, generator=generator) * 3 + 7
    answers = targets + torch.randn(shape, generator=generator)
    r2 = r2_score(targets.numpy(), answers.numpy(), multioutput="variance_weighted")
    assert unexplained_variance(answers, targets) == pytest.approx(1 - r2, rel=1e-4)


def test_right_numbers_leave_nothing_and_their_mean_leaves_all() -> None:
    targets = torch.tensor([1.0, 2.0, 6.0])
    assert unexplained_variance(targets, targets) == 0.0
    assert unexplained_variance(torch.full((3,), 3.0), targets) == 1.0


def test_one_answer_a_row_stands_for_a_number_each() -> None:
    """[N, 1] beside [N] would be compared all with all, were it not reshaped."""
    targets = torch.tensor([1.0, 2.0, 6.0])
    assert unexplained_variance(targets.unsqueeze(1), targets) == 0.0


@pytest.mark.parametrize(
    ("targets", "error"),
    [(torch.tensor([1, 0, 1]), misclassified), (torch.rand(3), unexplained_variance)],
)
def test_the_kind_of_targets_decides_the_default(targets: Tensor, error: object) -> None:
    answers = torch.rand(3, 2) if error is misclassified else torch.rand(3)
    assert callable(error)
    assert default_error(answers, targets) == error(answers, targets)


def test_a_data_set_without_an_error_of_its_own_has_the_default() -> None:
    assert error_function(load_dataset("digits")) is default_error


def test_a_data_set_may_define_its_own_error() -> None:
    class Farthest(PairDataSet):
        def error(self, answers: Tensor, targets: Tensor) -> float:
            return (answers - targets).abs().max().item()

    pool = Pool(torch.zeros(4, 14, 14, dtype=torch.uint8), torch.zeros(4, dtype=torch.uint8))
    own = error_function(Farthest("mine", pool, pool, Tensor.float, 1, 1))
    assert own(torch.tensor([1.0, 5.0]), torch.tensor([1.5, 2.0])) == 3.0
