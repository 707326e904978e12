"""The trained weights of an export: a test run is trained again, and its tensors are serialized."""

import time
from collections.abc import Mapping
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from hpo import events
from hpo.errors import HpoError
from hpo.evaluation import repeated_seeds
from hpo.protocol import Protocol
from hpo.registry import user_code
from hpo.studies.lifecycle import Study
from hpo.training.fit import Training, repeatable


PROGRESS_S = 2.0
"""Minimum seconds between two progress messages of a training."""


def train_again(study: Study, trial: int, params: Mapping[str, Any], seed: int) -> Training:
    """Repeat a test run on the CPU, and log the progress; returns the finished training.

    Raises:
        HpoError: the network cannot be trained.
    """
    facts = {"study": study.name, "seed": seed}
    events.inform("training_again", f"training test run {seed} again to get its weights", **facts)
    cpu, logged_at = torch.device("cpu"), time.monotonic()
    with repeatable(), user_code(f"test run {seed} cannot be trained again"):
        for training in repeated_seeds.run(study.protocol, trial, params, seed, cpu):
            if time.monotonic() - logged_at > PROGRESS_S:
                logged_at = time.monotonic()
                done = f"{len(training.curve)} of {training.config.epochs} epochs"
                events.inform("training_again", f"{done} of test run {seed}", **facts)
    return training


def draw_inputs(protocol: Protocol, seed: int) -> Tensor:
    """The inputs of the test examples of a test run, as the data set draws them."""
    with user_code(f"data set {protocol.dataset} cannot be drawn from"):
        _, test = repeated_seeds.draw_examples(protocol, seed)
    return test.inputs


def serialize(model: nn.Module) -> bytes:
    """The parameters and persistent buffers of a network in the format safetensors.

    Raises:
        HpoError: the format cannot hold one of them; the message names it.
    """
    with user_code("the state_dict of the network cannot be read"):
        state = model.state_dict()
    tensors = {name: _checked(name, value) for name, value in state.items()}
    return save(tensors)


def _checked(name: str, value: object) -> Tensor:
    """A copy of the tensor that shares no memory, as safetensors needs it."""
    own_name = name.removeprefix("1.")  # the first module of an export standardizes the inputs
    if not isinstance(value, Tensor):
        advice = "; let get_extra_state return a tensor" if "_extra_state" in name else ""
        raise HpoError(
            f"the weights cannot be saved: {own_name} is a {type(value).__name__}, but a file of "
            f"weights holds only tensors{advice}"
        )
    try:
        copy = value.detach().clone(memory_format=torch.contiguous_format)
        save({name: copy})
    except (KeyError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise HpoError(
            f"the weights cannot be saved: {own_name} is a tensor of {value.dtype} in the layout "
            f"{value.layout}, which the format safetensors cannot hold; keep a dense tensor of "
            "another type"
        ) from error
    return copy
