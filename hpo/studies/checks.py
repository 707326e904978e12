"""Checks of a new study that need its network and its data, and therefore load torch."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

import optuna
import torch

from hpo.architectures import Architecture, architectures
from hpo.datasets import DataSet, Examples, datasets, fingerprint
from hpo.errors import DataError, InputError
from hpo.evaluation.cross_validation import fold_indices
from hpo.protocol import Protocol
from hpo.registry import unknown, user_code
from hpo.search.pruners import pruners
from hpo.search.samplers import samplers
from hpo.seeds import derive
from hpo.training import optimization
from hpo.training.config import DURATION, TrainingConfig, hyperparameters
from hpo.training.fit import DivergedError, Training, outputs_of
from hpo.training.metrics import error_function
from hpo.training.split import Split
from search_spaces.space import SearchSpace


N_TRIED = 8
"""Number of training examples with which the check of a new study trains the network."""


def check_own_code(architecture_name: str, dataset_name: str) -> None:
    """Check that a study needs only code of hpo, without importing any other code.

    Raises:
        InputError: the network or the data set comes from an entry point or a user's module.
    """
    architectures.check_own(architecture_name)
    datasets.check_own(dataset_name)


def check_machine(protocol: Protocol) -> None:
    """Check that this machine has the network and the data that the study was created with.

    Raises:
        InputError: the machine lacks the network or the data set, the network lacks a parameter of
            the search space, or this version of hpo lacks the sampler or the pruner.
        DataError: the data files are missing or differ from those of the study.
    """
    for registry, name in ((architectures, protocol.architecture), (datasets, protocol.dataset)):
        if not registry.is_known(name):
            raise InputError(
                f"this machine has no {registry.kind} {name}, which the study needs; install the "
                "package that provides it"
            )
    check_names(protocol.search_space, architectures.get(protocol.architecture))
    check_strategies(protocol.sampler, protocol.pruner, protocol.search_space)
    local = fingerprint(protocol.dataset)
    if local != protocol.fingerprint:
        raise DataError(
            f"the data set {protocol.dataset} on this machine is not the study's (fingerprint "
            f"{local[:12]} instead of {protocol.fingerprint[:12]}); fetch the same files"
        )


def check(protocol: Protocol, entry: Architecture, data: DataSet) -> None:
    """Check that a worker can carry out the protocol.

    Raises:
        InputError: a size, the number of folds, a parameter, the sampler, the pruner, the network
            or the data set is wrong.
    """
    space = protocol.search_space
    check_names(space, entry)
    check_effects(space)
    check_strategies(protocol.sampler, protocol.pruner, space)
    examples = check_draws(protocol, data)
    _, held_out = fold_indices(examples, protocol.folds, protocol.seed)[0]
    few = examples.subset(torch.arange(min(N_TRIED, len(examples))))
    check_trains(protocol, few, examples.subset(held_out), data)


def check_names(space: SearchSpace, entry: Architecture) -> None:
    """Check that the architecture has every parameter of the space, under an unambiguous name.

    Raises:
        InputError: the architecture lacks a parameter (the message suggests similar ones), or a
            hyperparameter of the architecture has the name of a training hyperparameter.
    """
    known = hyperparameters(entry)
    for name in space.names:
        if name not in known:
            raise InputError(unknown(f"parameter of {entry.name}", name, known))
    for name in (*optimization.defaults(), *DURATION):
        if name in entry.hyperparameters or name in entry.augmentations:
            raise InputError(
                f"{entry.name} has a hyperparameter {name}, but every training already has one of "
                "that name; call it something else"
            )


def check_effects(space: SearchSpace) -> None:
    """Check that each parameter of the space has an effect in some configuration of the space.

    Raises:
        InputError: a parameter belongs to an optimizer or a learning rate schedule that no
            configuration uses.
    """
    parameters = dict(space.parameters)
    for name, (switch, users) in optimization.BELONGS_TO.items():
        choices = [optimization.defaults()[switch]]
        if switch in parameters:
            points = islice(parameters[switch].points(), 100)
            choices = [str(parameters[switch].decode(point)) for point in points]
        if name in parameters and not users.intersection(choices):
            raise InputError(
                f"{name} has no effect where {switch} is {' or '.join(choices)}; leave {name} "
                f"out, or use {switch} {' or '.join(sorted(users))}"
            )


def check_strategies(sampler: str, pruner: str, space: SearchSpace) -> None:
    """Check that sampler and pruner exist and that the sampler can search the space.

    Raises:
        InputError: sampler or pruner does not exist, or the sampler cannot search the space.
    """
    samplers.get(sampler)
    pruners.get(pruner)
    numeric = [
        d
        for d in space.distributions().values()
        if not isinstance(d, optuna.distributions.CategoricalDistribution) and not d.single()
    ]
    if sampler == "cmaes" and space.distributions() and len(numeric) < 2:
        raise InputError("the sampler cmaes needs two numeric parameters to search; use tpe")


def check_draws(protocol: Protocol, data: DataSet) -> Examples:
    """Check the examples that the data set draws; return the training examples of the search.

    Raises:
        InputError: drawing fails, the examples are malformed, or two draws with one seed differ.
    """
    what, seed = f"data set {protocol.dataset}", derive("search", protocol.seed)
    with user_code(f"{what} cannot be drawn from"):
        train = data.draw_train(protocol.train_size, seed)
        again = data.draw_train(protocol.train_size, seed)
        test = data.draw_test(protocol.test_size, derive("test run", 0))
    for examples in (train, again):
        check_examples(f"{what}: draw_train", examples, protocol.train_size)
    check_examples(f"{what}: draw_test", test, protocol.test_size)
    if not (torch.equal(train.inputs, again.inputs) and torch.equal(train.targets, again.targets)):
        raise InputError(
            f"{what}: two draws of one size and seed differ, so no result would repeat"
        )
    return train


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
    _check_shapes(what, examples, n)
    _check_values(what, examples)


def _check_shapes(what: str, examples: Examples, n: int) -> None:
    inputs, targets, labels = examples.inputs, examples.targets, examples.auxiliary
    if labels is not None and (labels.dim() != 2 or len(labels) != n):
        raise InputError(
            f"{what} returns auxiliary labels {list(labels.shape)}; should be [{n}, P]"
        )
    if not len(inputs) == len(targets) == n:
        raise InputError(f"{what} returns {len(inputs)} inputs, {len(targets)} targets, not {n}")


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


def check_trains(protocol: Protocol, few: Examples, held_out: Examples, data: DataSet) -> None:
    """Check that network, data, loss and error fit together, by training at the space's corners.

    Each corner of the search space is trained for one epoch on the few examples `few`.

    Raises:
        InputError: the network, the loss or the error raises an exception, or the error is
            negative.
    """
    cpu = torch.device("cpu")
    split = Split.of(few, held_out, cpu, error_function(data))
    for params in corners(protocol.search_space):
        config = replace(TrainingConfig.of(protocol, params), batch_size=N_TRIED)
        check_outputs(config, split)
        what = f"{protocol.architecture} cannot be trained on {protocol.dataset} with {params}"
        with suppress(DivergedError), user_code(what):  # a configuration may diverge
            error = Training(config, split, cpu, ("check",)).run_epoch()
            if error < 0:
                raise InputError(
                    f"the error of the data set {protocol.dataset} is {error}; it should be at "
                    "least 0, which is best"
                )


def check_outputs(config: TrainingConfig, split: Split) -> None:
    """Check that the network can be built and returns the outputs that its architecture declares.

    Raises:
        InputError: the network cannot be built, cannot read the data, or returns other outputs.
    """
    entry, model = config.architecture, config.try_build()
    with user_code(f"{entry.name} cannot read its data with {config.params}"):
        outputs = outputs_of(model.train(), split.train.inputs)
    if entry.loss is not None:
        return
    for trait, given in (("auxiliary", outputs.auxiliary), ("swapped", outputs.swapped)):
        flag = "auxiliary_loss" if trait == "auxiliary" else "asymmetry_loss"
        if getattr(entry, flag) is not (given is not None):
            raise InputError(
                f"the network of {entry.name} returns {'no' if given is None else 'an'} output "
                f"{trait}, but its architecture says {flag}={getattr(entry, flag)}"
            )


def corners(space: SearchSpace) -> Iterator[dict[str, Any]]:
    """The configurations with which a space is checked.

    One has the lowest values of all parameters, one the highest values. For each choice of a
    categorical parameter there is another one with the lowest values of the others.
    """
    distributions = space.distributions()
    lowest = {name: _ends(d)[0] for name, d in distributions.items()}
    yield space.decode(lowest)
    yield space.decode({name: _ends(d)[-1] for name, d in distributions.items()})
    for name, distribution in distributions.items():
        if isinstance(distribution, optuna.distributions.CategoricalDistribution):
            for choice in distribution.choices:
                yield space.decode(lowest | {name: choice})


def _ends(distribution: Any) -> list[Any]:
    if isinstance(distribution, optuna.distributions.CategoricalDistribution):
        return list(distribution.choices)
    return [distribution.low, distribution.high]
