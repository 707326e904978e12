"""The training loss: answer loss, auxiliary loss of each part's label, and asymmetry loss.

Shapes: N batch, P parts of an example (two images), K classes, D targets.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hpo.architectures import Outputs
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.training.optimization import Optimization


Loss = Callable[[Outputs, Examples], Tensor]


def make_loss(fit: Optimization, examples: Examples) -> Loss:
    """A function that computes the loss of a batch of `examples`.

    The loss of a batch of pairs is the weighted sum

        answer + 2 aux_weight (aux_balance first + (1 - aux_balance) second)
        + asymmetry_weight swapped

    Each term is a mean over the batch: `answer` is the loss of the answers, `first` and `second`
    are the auxiliary losses of the two parts, `swapped` is the asymmetry loss. The asymmetry loss
    demands the opposite answer for swapped parts (report 003, section 1.4). A term is left out if
    the network lacks the outputs.

    Raises:
        InputError: the loss does not fit the targets. The returned function raises an InputError
            if the network has auxiliary outputs and the examples have no labels of their parts.
    """
    answer, auxiliary = _answer_loss(fit, examples), _auxiliary_loss(fit, examples)

    def loss(outputs: Outputs, batch: Examples) -> Tensor:
        total = answer(outputs.logits, batch.targets)
        if outputs.auxiliary is not None:
            total = total + auxiliary(outputs.auxiliary, batch.auxiliary)
        if outputs.swapped is not None:
            opposite = answer(outputs.swapped, _opposite(outputs.swapped, batch.targets))
            total = total + fit.asymmetry_weight * opposite
        return total

    return loss


def _answer_loss(fit: Optimization, examples: Examples) -> Callable[[Tensor, Tensor], Tensor]:
    are_numbers = examples.targets.is_floating_point()
    name = fit.loss or ("mse" if are_numbers else "cross_entropy")
    if are_numbers and name != "mse":
        raise InputError(f"loss: {name} is for classes, but the targets are numbers; use mse")
    if are_numbers:
        return lambda answers, targets: functional.mse_loss(answers.reshape(targets.shape), targets)
    smoothing = fit.label_smoothing
    if name == "cross_entropy":
        return lambda logits, targets: functional.cross_entropy(
            logits, targets, label_smoothing=smoothing
        )

    def one_hot_mse(logits_NK: Tensor, targets: Tensor) -> Tensor:
        n_classes = logits_NK.shape[1]
        one_hot_NK = functional.one_hot(targets, n_classes)
        return functional.mse_loss(logits_NK, one_hot_NK * (1 - smoothing) + smoothing / n_classes)

    return one_hot_mse


def _auxiliary_loss(
    fit: Optimization, examples: Examples
) -> Callable[[Tensor, Tensor | None], Tensor]:
    """The weighted sum over parts of the mean cross-entropy of logits [N, P, K'], labels [N, P]."""
    n_parts = 0 if examples.auxiliary is None else examples.auxiliary.shape[1]
    if fit.aux_balance != 0.5 and n_parts != 2:
        raise InputError("aux_balance: only examples of two parts can use it; leave it out")
    shares_P = torch.tensor([fit.aux_balance, 1 - fit.aux_balance], device=examples.inputs.device)

    def loss(logits_NPK: Tensor, labels_NP: Tensor | None) -> Tensor:
        if labels_NP is None:
            raise InputError(
                "auxiliary loss: the network has auxiliary outputs, but the data set has no "
                "labels of the parts; use another data set or network"
            )
        logits_MK, labels_M = logits_NPK.flatten(0, 1), labels_NP.flatten()
        if fit.aux_balance == 0.5:  # all parts have the same weight: one mean suffices
            mean = functional.cross_entropy(
                logits_MK, labels_M, label_smoothing=fit.label_smoothing
            )
            return fit.aux_weight * n_parts * mean
        losses_M = functional.cross_entropy(
            logits_MK, labels_M, reduction="none", label_smoothing=fit.label_smoothing
        )
        means_P = losses_M.view(labels_NP.shape).mean(dim=0)
        return fit.aux_weight * n_parts * (means_P @ shares_P)

    return loss


def _opposite(answers_NK: Tensor, targets_N: Tensor) -> Tensor:
    """The other of the two classes, which is the answer for swapped parts."""
    if targets_N.is_floating_point() or answers_NK.shape[1] != 2:
        raise InputError("asymmetry loss: only a choice between two answers has an opposite")
    return 1 - targets_N
