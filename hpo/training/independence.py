"""A short training that shows whether new networks depend on the training of earlier ones."""

import torch
from torch import Tensor

from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, answers_to
from hpo.training.sharing import SharedNetworkError, shared_tensors
from hpo.training.split import Split


def error_of_new_network(
    config: TrainingConfig, split: Split, device: torch.device
) -> float | None:
    """The error of a new network after one epoch; None if it diverged.

    Three more networks are built from the same random numbers, two before and one after that epoch.
    The epoch must change none of them. Nor may it change the answers of another one, which may
    depend on values outside of it, such as a variable of a module.

    Raises:
        SharedNetworkError: the networks share what training changes, or a new one begins with
            what an earlier one has learned.
    """
    name = config.architecture.name
    # The last one is trained: a factory may copy the network that it built last.
    second, asked, first = (Training(config, split, device, ("check",)) for _ in range(3))
    shared = [
        (path, tensor, tensor.clone()) for path, tensor in shared_tensors(first.model, second.model)
    ]
    for path, tensor, _ in shared:
        if tensor.requires_grad:
            raise SharedNetworkError(name, f"two of them share the weight {path}")
    is_repeatable = _begin_alike(first, second)
    answers = [_answers(asked) for _ in range(2)]
    error = _error(first)
    for path, tensor, before in shared:
        if not ((tensor == before) | (before != before)).all():  # NaN differs from itself
            raise SharedNetworkError(name, f"two of them share {path}, which training changes")
    if is_repeatable and not _begin_alike(second, Training(config, split, device, ("check",))):
        raise SharedNetworkError(name, "a new one begins with what an earlier one has learned")
    if _are_equal(*answers) and not _are_equal(answers[1], _answers(asked)):
        raise SharedNetworkError(name, "the training of one changes the answers of another")
    return error


def _error(training: Training) -> float | None:
    try:
        return training.run_epoch()
    except DivergedError:  # a configuration may diverge
        return None


def _begin_alike(one: Training, other: Training) -> bool:
    """Whether two networks that are not trained yet have the same trainable weights."""
    weights = [
        [weight for weight in training.model.parameters() if weight.requires_grad]
        for training in (one, other)
    ]
    return len(weights[0]) == len(weights[1]) and all(map(torch.equal, *weights))


@torch.inference_mode()
def _answers(training: Training) -> Tensor | None:
    """The network's answers to its training examples; None if it cannot answer before training."""
    torch.manual_seed(0)
    try:
        return answers_to(training.model, training.split.train.inputs)
    except Exception:  # noqa: BLE001  such a network fails when it is trained, or answers later
        return None


def _are_equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether the answers are equal except for rounding; NaN equals itself."""
    if one is None or other is None:
        return False
    return one.shape == other.shape and torch.allclose(one, other, 1e-3, 1e-4, equal_nan=True)
