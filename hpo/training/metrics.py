"""Error metrics of a network's answers on held-out examples; 0 is best.

A data set may define its own error, a function of all answers and targets (see `DataSet`).

Shapes: N examples, K classes, D targets.
"""

from collections.abc import Callable

from torch import Tensor

from hpo.datasets import DataSet
from hpo.errors import InputError


Error = Callable[[Tensor, Tensor], float]
"""A function of answers and targets that returns the error."""


def default_error(answers: Tensor, targets: Tensor) -> float:
    """`misclassified` for classes (integer targets), `unexplained_variance` for regression."""
    error = unexplained_variance if targets.is_floating_point() else misclassified
    return error(answers, targets)


def error_function(data: DataSet) -> Error:
    """The error that a data set defines, else `default_error`."""
    error: Error = getattr(data, "error", default_error)
    return error


def misclassified(answers: Tensor, targets: Tensor) -> float:
    """The fraction, from 0 to 1, of answers [N, K] whose largest entry is not the class [N].

    Raises:
        InputError: the answers have another shape. They would be compared all with all.
    """
    highest = int(targets.max())
    if answers.dim() != 2 or answers.shape[1] <= highest:
        raise InputError(
            f"the network returns answers {list(answers.shape)} to examples of the classes 0 to "
            f"{highest}; it should return a number for each example and class, [N, K]"
        )
    return int((answers.argmax(dim=1) != targets).sum()) / len(targets)


def unexplained_variance(answers: Tensor, targets: Tensor) -> float:
    """1 - R^2: the squared error divided by the targets' variation.

    Answers and targets are both [N] or both [N, D].
    """
    variation = (targets - targets.mean(dim=0)).square().sum()
    return float((answers.reshape(targets.shape) - targets).square().sum() / variation)
