"""A short training that shows whether new networks depend on the training of earlier ones."""

import torch

from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training
from hpo.training.sharing import SharedNetworkError, shared_tensors
from hpo.training.split import Split


def error_of_new_network(
    config: TrainingConfig, split: Split, device: torch.device
) -> float | None:
    """The error of a new network after one epoch; None if it diverged.

    Two more networks are built from the same random numbers, one before and one after that epoch.
    The epoch must change neither of them.

    Raises:
        SharedNetworkError: the networks share what training changes, or a new one begins with
            what an earlier one has learned.
    """
    name = config.architecture.name
    first, second = (Training(config, split, device, ("check",)) for _ in range(2))
    shared = [
        (path, tensor, tensor.clone()) for path, tensor in shared_tensors(first.model, second.model)
    ]
    for path, tensor, _ in shared:
        if tensor.requires_grad:
            raise SharedNetworkError(name, f"two of them share the weight {path}")
    is_repeatable = _begin_alike(first, second)
    error = _error(first)
    for path, tensor, before in shared:
        if not ((tensor == before) | (before != before)).all():  # NaN differs from itself
            raise SharedNetworkError(name, f"two of them share {path}, which training changes")
    if is_repeatable and not _begin_alike(second, Training(config, split, device, ("check",))):
        raise SharedNetworkError(name, "a new one begins with what an earlier one has learned")
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
