"""The training loss: of the answer, of each part's own label, of the answer for swapped parts.

Shapes: N batch, P parts of an example (two images), K classes, D numbers.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hpo.architectures import Outputs
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.optimization import Optimization


Loss = Callable[[Outputs, Examples], Tensor]


def make_loss(fit: Optimization, examples: Examples) -> Loss:
    """The loss of a fit on batches of `examples`: a sum over what the network has outputs for.

    answer + 2 aux_weight (aux_balance first + (1 - aux_balance) second)
    + asymmetry_weight swapped, where each loss is a mean over the batch. Swapped parts must get the
    opposite answer (report 003, section 1.4).

    Raises:
        InputError: the loss does not fit the targets (also by the loss itself, where a network has
            outputs for parts that have no labels).
    """
    answer = _answer_loss(fit, examples)
    weights_P = _auxiliary_weights(fit, examples)

    def loss(outputs: Outputs, batch: Examples) -> Tensor:
        total = answer(outputs.logits, batch.targets)
        if outputs.auxiliary is not None:
            total = total + _auxiliary(outputs.auxiliary, batch.auxiliary, weights_P)
        if outputs.swapped is not None:
            swapped = answer(outputs.swapped, 1 - batch.targets)
            total = total + fit.asymmetry_weight * swapped
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

    def squared(logits_NK: Tensor, targets: Tensor) -> Tensor:
        n_classes = logits_NK.shape[1]
        wanted = functional.one_hot(targets, n_classes) * (1 - smoothing) + smoothing / n_classes
        return functional.mse_loss(logits_NK, wanted)

    return squared


def _auxiliary_weights(fit: Optimization, examples: Examples) -> Tensor:
    """The weight of each part's loss, [P]."""
    n_parts = 0 if examples.auxiliary is None else examples.auxiliary.shape[1]
    shares = torch.full((n_parts,), 1.0)
    if fit.aux_balance != 0.5:
        if n_parts != 2:
            raise InputError("aux_balance: only examples of two parts have one; leave it out")
        shares = 2 * torch.tensor([fit.aux_balance, 1 - fit.aux_balance])
    return (fit.aux_weight * shares).to(examples.inputs.device)


def _auxiliary(logits_NPK: Tensor, labels_NP: Tensor | None, weights_P: Tensor) -> Tensor:
    """Cross-entropy of each part's own label, a mean over the batch, weighted and added."""
    if labels_NP is None:
        raise InputError(
            "auxiliary loss: the network has one, but the examples have no labels of their parts"
        )
    losses = functional.cross_entropy(
        logits_NPK.flatten(0, 1), labels_NP.flatten(), reduction="none"
    )
    return losses.view(labels_NP.shape).mean(dim=0) @ weights_P
