"""Checks of a new study that need its network and its data, and therefore load torch."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import optuna
import torch

from hpo.architectures import Architecture, architectures
from hpo.datasets import DataSet, Examples, datasets, fingerprint
from hpo.datasets.draws import draw_search, draw_test_run
from hpo.errors import DataError, InputError
from hpo.evaluation.cross_validation import fold_indices
from hpo.foreign_code import trust
from hpo.io.streams import visible
from hpo.protocol import Protocol
from hpo.registry import unknown, user_code
from hpo.search.pruners import pruners
from hpo.search.samplers import samplers
from hpo.training import optimization
from hpo.training.config import DURATION, TrainingConfig, hyperparameters
from hpo.training.fit import outputs_of
from hpo.training.independence import error_of_new_network
from hpo.training.metrics import error_function
from hpo.training.split import Split
from hpo.words import PARAMETERS
from search_spaces.space import SearchSpace


N_TRIED = 8
"""Number of training examples with which the check of a new study trains the network."""


def check_machine(protocol: Protocol) -> None:
    """Check that this machine has the network and the data that the study was created with.

    Raises:
        InputError: the machine lacks the network or the data set, or may not import it; the
            network lacks a parameter of the search space; or this version of hpo lacks the sampler
            or the pruner.
        DataError: the data files are missing or differ from those of the study.
    """
    for registry, name in ((architectures, protocol.architecture), (datasets, protocol.dataset)):
        if not registry.is_known(name):
            raise InputError(
                f"this machine has no {registry.kind} {name}, which the study needs; install the "
                "package that provides it"
            )
    check_allowed(protocol)
    check_names(protocol.search_space, architectures.get(protocol.architecture))
    check_strategies(protocol.sampler, protocol.pruner, protocol.search_space)
    local = fingerprint(protocol.dataset)
    if local != protocol.fingerprint:
        raise DataError(
            f"the data set {protocol.dataset} on this machine is not the study's (fingerprint "
            f"{local[:12]} instead of {visible(protocol.fingerprint[:12])}); fetch the same files"
        )


def check_allowed(protocol: Protocol) -> None:
    """Check that the network and the data set may be imported; imports nothing.

    Raises:
        InputError: they are not part of hpo, and `--no-foreign-code` holds or their modules are not
            trusted. The message names every module that is missing.
    """
    architectures.check_foreign(protocol.architecture)
    datasets.check_foreign(protocol.dataset)
    names = [name for name in (protocol.architecture, protocol.dataset) if ":" in name]
    if names:
        trust.check(" and ".join(names), *(name.partition(":")[0] for name in names))


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
    check_trains(protocol, check_draws(protocol, data), data)


def check_names(space: SearchSpace, entry: Architecture) -> None:
    """Check that the architecture has every parameter of the space, under an unambiguous name.

    Raises:
        InputError: the architecture lacks a parameter (the message suggests similar ones), or a
            hyperparameter of the architecture has the name of a training hyperparameter.
    """
    known = hyperparameters(entry)
    for name in space.names:
        if name not in known:
            raise InputError(unknown(f"parameter of {entry.name}", name, known, PARAMETERS))
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

    The examples of the search are drawn twice, those of the first test run once.

    Raises:
        InputError: drawing fails, the examples are malformed, two draws with one seed differ, or
            there are too few examples for the folds.
    """
    what = f"data set {protocol.dataset}"
    with user_code(f"{what} cannot be drawn from"):
        train, again = (draw_search(data, protocol) for _ in range(2))
    if not (torch.equal(train.inputs, again.inputs) and torch.equal(train.targets, again.targets)):
        raise InputError(
            f"{what}: two draws of one size and seed differ, so no result would repeat"
        )
    fold_indices(train, protocol.folds, protocol.seed)
    with user_code(f"{what} cannot be drawn from"):
        draw_test_run(data, protocol, 0)
    return train


def check_trains(protocol: Protocol, examples: Examples, data: DataSet) -> None:
    """Check that network, data, loss and error fit together, by training at the space's corners.

    Each corner of the search space is trained for one epoch on a few of the `examples`.

    Raises:
        InputError: the network, the loss or the error raises an exception, the error is
            negative, or two networks are not independent.
    """
    cpu = torch.device("cpu")
    split = trial_split(protocol, examples, data, cpu)
    for params in corners(protocol.search_space):
        config = replace(TrainingConfig.of(protocol, params), batch_size=N_TRIED)
        check_outputs(config, split)
        what = f"{protocol.architecture} cannot be trained on {protocol.dataset} with {params}"
        with user_code(what):
            error = error_of_new_network(config, split, cpu)
        if error is not None and error < 0:
            raise InputError(
                f"the error of the data set {protocol.dataset} is {error}; it should be at "
                "least 0, which is best"
            )


def trial_split(
    protocol: Protocol, examples: Examples, data: DataSet, device: torch.device
) -> Split:
    """A few training examples, and the held-out examples of the first fold."""
    _, held_out = fold_indices(examples, protocol.folds, protocol.seed)[0]
    few = examples.subset(torch.arange(min(N_TRIED, len(examples))))
    return Split.of(few, examples.subset(held_out), device, error_function(data))


def check_outputs(config: TrainingConfig, split: Split) -> None:
    """Check that the network can be built and returns the outputs that its architecture declares.

    Raises:
        InputError: the network cannot be built, cannot read the data, or returns other outputs.
    """
    entry, model = config.architecture, config.try_build()
    what = f"{entry.name} cannot read its data ({_form(split.train.inputs)}) with {config.params}"
    with user_code(what):
        outputs = outputs_of(model.train(), split.train.inputs.clone())
    if entry.loss is not None:
        return
    check_answers(entry.name, outputs.logits, split)
    for trait, given in (("auxiliary", outputs.auxiliary), ("swapped", outputs.swapped)):
        flag = "auxiliary_loss" if trait == "auxiliary" else "asymmetry_loss"
        if getattr(entry, flag) is not (given is not None):
            raise InputError(
                f"the network of {entry.name} returns {'no' if given is None else 'an'} output "
                f"{trait}, but its architecture says {flag}={getattr(entry, flag)}"
            )


def check_answers(name: str, answers: torch.Tensor, split: Split) -> None:
    """Check that the answers to the training examples have a shape and type that hpo's losses use.

    Raises:
        InputError: they are not a logit for each class, or not as many numbers as the targets.
    """
    targets = split.train.targets
    if targets.is_floating_point():
        fits = answers.numel() == targets.numel()
        wanted = f"numbers, as the targets are ({_form(targets)}); classes are int64"
    else:
        n_classes = 1 + max(int(part.targets.max()) for part in (split.train, split.held_out))
        fits = answers.dim() == 2 and answers.shape[1] >= n_classes
        shape = [len(targets), n_classes]
        wanted = f"float32 {shape}: a logit for each of the classes 0 to {n_classes - 1}"
    if not (fits and answers.is_floating_point() and len(answers) == len(targets)):
        raise InputError(
            f"the network of {name} answers {len(targets)} examples with {_form(answers)}; it "
            f"should return {wanted}"
        )


def _form(tensor: torch.Tensor) -> str:
    """The type and the shape of a tensor, such as `float32 [8, 2]`."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {[*tensor.shape]}"


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
