"""Errors: how wrong a network's answers are on held-out examples, from 0, which is best.

A data set may define its own, a function of all answers and targets (see `DataSet`).

Shapes: N examples, K classes, D numbers.
"""

from collections.abc import Callable

from torch import Tensor

from hpo.datasets import DataSet


Error = Callable[[Tensor, Tensor], float]


def default_error(answers: Tensor, targets: Tensor) -> float:
    """The share of wrong classes where targets are whole numbers, else the unexplained variance."""
    error = unexplained_variance if targets.is_floating_point() else misclassified
    return error(answers, targets)


def error_function(data: DataSet) -> Error:
    """The error that a data set defines, else the default one."""
    own: Error = getattr(data, "error", default_error)
    return own


def misclassified(answers: Tensor, targets: Tensor) -> float:
    """The share, from 0 to 1, of answers [N, K] whose largest entry is not the class [N]."""
    return int((answers.argmax(dim=1) != targets).sum()) / len(targets)


def unexplained_variance(answers: Tensor, targets: Tensor) -> float:
    """1 - R^2: the squared error as a share of the targets' own spread; both [N] or [N, D]."""
    spread = (targets - targets.mean(dim=0)).square().sum()
    return float((answers.reshape(targets.shape) - targets).square().sum() / spread)
