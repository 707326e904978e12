"""Drawing the examples of a study's search and test runs, with checks of every draw.

A data set may be a user's own. A draw that was well-formed when the study was created may not be so
with another seed or on another machine.
"""

import torch

from hpo.datasets.contract import DataSet, Examples
from hpo.errors import InputError
from hpo.protocol import Protocol
from hpo.seeds import derive


def draw_search(data: DataSet, protocol: Protocol) -> Examples:
    """The training examples of a study's search.

    Raises:
        InputError: the examples are malformed.
    """
    examples = data.draw_train(protocol.train_size, derive("search", protocol.seed))
    check_examples(f"data set {protocol.dataset}: draw_train", examples, protocol.train_size)
    return examples


def draw_test_run(data: DataSet, protocol: Protocol, seed: int) -> tuple[Examples, Examples]:
    """The training and test examples of test run `seed`.

    Raises:
        InputError: the examples are malformed, or the test examples are of another kind than the
            training examples.
    """
    what, purpose = f"data set {protocol.dataset}", derive("test run", seed)
    train = data.draw_train(protocol.train_size, purpose)
    check_examples(f"{what}: draw_train", train, protocol.train_size)
    test = data.draw_test(protocol.test_size, purpose)
    check_examples(f"{what}: draw_test", test, protocol.test_size)
    check_like(f"{what}: draw_test", test, train)
    return train, test


def check_examples(what: str, examples: object, n: int) -> None:
    """Check that `examples` are `n` well-formed `Examples`.

    `what` begins the message of an error.

    Raises:
        InputError: the type, a shape, a dtype or a value is wrong.
    """
    if not isinstance(examples, Examples):
        raise InputError(
            f"{what} returns a {type(examples).__name__}; it should return hpo.Examples"
        )
    for name in ("inputs", "targets", "auxiliary"):
        value = getattr(examples, name)
        if not isinstance(value, torch.Tensor) and (value is not None or name != "auxiliary"):
            raise InputError(
                f"{what} returns {name} of type {type(value).__name__}, not a torch tensor"
            )
        if value is not None and (kind := _unusable_kind(value)):
            raise InputError(
                f"{what} returns {name} as a tensor that is {kind}; it should be an ordinary dense "
                "tensor on the CPU"
            )
    _check_shapes(what, examples, n)
    _check_values(what, examples)


def _unusable_kind(tensor: torch.Tensor) -> str | None:
    """The property of a tensor with which hpo cannot train; None for an ordinary dense tensor."""
    if tensor.is_nested:
        return "nested"
    if tensor.layout is not torch.strided:
        return f"sparse ({tensor.layout})"
    if tensor.device.type != "cpu":
        return f"on the device {tensor.device}"
    if tensor.is_complex():
        return "complex"
    return "quantized" if tensor.is_quantized else None


def _check_shapes(what: str, examples: Examples, n: int) -> None:
    inputs, targets, labels = examples.inputs, examples.targets, examples.auxiliary
    if labels is not None and (labels.dim() != 2 or len(labels) != n):
        raise InputError(
            f"{what} returns auxiliary labels {list(labels.shape)}; should be [{n}, P]"
        )
    n_inputs, n_targets = (len(each) if each.dim() else 0 for each in (inputs, targets))
    if not n_inputs == n_targets == n:
        raise InputError(f"{what} returns {n_inputs} inputs, {n_targets} targets, not {n}")


def _check_values(what: str, examples: Examples) -> None:
    inputs, targets = examples.inputs, examples.targets
    is_class = targets.dtype == torch.int64 and targets.dim() == 1 and int(targets.min()) >= 0
    if not is_class and targets.dtype != torch.float32:
        raise InputError(
            f"{what} returns targets of {targets.dtype} {list(targets.shape)}; they should be "
            "classes from 0 (int64 [N]) or numbers (float32 [N] or [N, D])"
        )
    if inputs.is_floating_point() and inputs.dtype != torch.float32:
        raise InputError(f"{what} returns inputs of {inputs.dtype}; they should be float32")
    if not (inputs.isfinite().all() and targets.isfinite().all()):
        raise InputError(
            f"{what} returns values that are missing or infinite; leave such examples out"
        )


def check_like(what: str, test: Examples, train: Examples) -> None:
    """Check that test examples are of the same kind as the training examples.

    `what` begins the message of an error. Sequences of word indexes may have another length.

    Raises:
        InputError: the shape of an example or of its target differs, or the test examples have a
            class that the training examples lack.
    """
    pairs = {"inputs": (test.inputs, train.inputs), "targets": (test.targets, train.targets)}
    for name, (of_test, of_train) in pairs.items():
        given, expected = _kind(of_test), _kind(of_train)
        if given != expected:
            raise InputError(
                f"{what} returns {name} of {given} for each example; those of draw_train have "
                f"{expected}"
            )
    if not test.targets.is_floating_point():
        unseen = set(test.targets.tolist()) - set(train.targets.tolist())
        if unseen:
            raise InputError(
                f"{what} returns the class {min(unseen)}, which the training examples of the same "
                "seed lack; draw more training examples, or every class in each draw"
            )


def _kind(tensor: torch.Tensor) -> str:
    shape = list(tensor.shape[1:]) if tensor.is_floating_point() else f"{tensor.dim()} dimensions"
    return f"{tensor.dtype} {shape}"
