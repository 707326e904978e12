"""What an architecture is: a factory of networks with keyword hyperparameters.

A package of a user's own offers one under a name in the entry-point group `hpo.architectures`, or
it is named as `package.module:attribute`. What is found there is an `Architecture` or the bare
factory, a function or an `nn.Module` class; `examples/` has both.

Shapes: N batch, P parts of an example (the two images of a pair), K classes, D numbers.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from hpo.datasets.augmentation import augment_pairs
from hpo.datasets.contract import Examples
from hpo.errors import InputError
from hpo.registry import OpenRegistry


class Outputs(NamedTuple):
    """What a network's forward gives; a plain tensor stands for `Outputs(logits)`.

    logits: [N, K] of the task's answer, or the numbers [N] or [N, D] of a regression.
    auxiliary: [N, P, K'] logits of each part's own label (the two digits), or None.
    swapped: [N, K] of the answer for the parts the other way round, or None.
    """

    logits: Tensor
    auxiliary: Tensor | None = None
    swapped: Tensor | None = None


class Traits(NamedTuple):
    """What the variants of a family differ in."""

    weight_sharing: bool = False
    auxiliary_loss: bool = False
    asymmetry_loss: bool = False


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network; `build(**hyperparameters)` makes one.

    Only `build` has to be given. It gets the hyperparameters of one configuration by their names
    and nothing else: each has a default, and the shape of the inputs is its own business. torch's
    global generator is seeded when it is called. Its network takes inputs [N, ...], standardized,
    and gives `Outputs` or a plain tensor.

    name: hpo calls it by the name under which it was found, whatever stands here.
    task: what its data have to hold, as in `DataSet.task`; None: anything.
    dataset: the name of the data set that a study takes by default.
    weight_sharing, auxiliary_loss, asymmetry_loss: what it has. With the second its `Outputs`
        carry `auxiliary`, with the third `swapped`, and the weights of these losses can be
        searched.
    loss: `loss(outputs, batch)`, the whole loss of a training, where the built-in ones do not do;
        outputs are always `Outputs`, the batch's inputs are standardized.
    augment: `augment(examples, **hyperparameters)`, changes the training part anew in each epoch,
        on standardized inputs; its keywords have defaults and can be searched, too.
    source: where the network comes from, for `hpo architectures`.
    recipe: the file of its search space, such as `Path(__file__).with_name("mine.yaml")`, so that
        --space may be left out.
    """

    build: Callable[..., nn.Module]
    name: str = ""
    task: str | None = None
    dataset: str | None = None
    weight_sharing: bool = False
    auxiliary_loss: bool = False
    asymmetry_loss: bool = False
    loss: Callable[[Outputs, Examples], Tensor] | None = None
    augment: Callable[..., Examples] | None = None
    source: str = ""
    recipe: Path | None = None

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """The factory's parameters with their defaults.

        Raises:
            InputError: one has no default, or they have no names.
        """
        return _defaults(f"the factory of {self.name}", self.build)

    @cached_property
    def augmentations(self) -> dict[str, Any]:
        """The parameters of `augment` with their defaults, but for the examples.

        Raises:
            InputError: one has no default, or they have no names.
        """
        if self.augment is None:
            return {}
        return _defaults(f"augment of {self.name}", self.augment, n_given=1)


def _defaults(what: str, function: Callable[..., Any], n_given: int = 0) -> dict[str, Any]:
    """The default of each parameter that can be given by name; the first `n_given` are left out."""
    try:
        parameters = list(inspect.signature(function).parameters.values())[n_given:]
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} does not tell its parameters: {error}") from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if needed := [p.name for p in named if p.default is p.empty]:
        raise InputError(
            f"{what} needs {', '.join(needed)}: every parameter is a hyperparameter and has to "
            "have a default"
        )
    if parameters and not named:
        raise InputError(
            f"{what} takes {', '.join(map(str, parameters))}: hyperparameters have to have names, "
            "such as width=64"
        )
    return {p.name: p.default for p in named}


def _adopt(name: str, found: object) -> Architecture:
    """The architecture that somebody else's package holds under that name.

    Raises:
        InputError: it is none, or its parameters will not do.
    """
    if isinstance(found, Architecture):
        entry = replace(found, name=name)
    elif callable(found) and not isinstance(found, nn.Module):
        entry = Architecture(name=name, build=found)
    else:
        raise InputError(
            f"architecture {name}: should be a function or class that makes a network, or an "
            f"hpo.Architecture, but its type is {type(found).__name__}"
        )
    _ = entry.hyperparameters, entry.augmentations
    return entry


architectures: OpenRegistry[Architecture] = OpenRegistry(
    "architecture", group="hpo.architectures", adopt=_adopt
)


def pair_architecture(
    name: str,
    family: Callable[..., nn.Module],
    *,
    source: str,
    weight_sharing: bool = False,
    auxiliary_loss: bool = False,
    asymmetry_loss: bool = False,
    **defaults: Any,
) -> Architecture:
    """Register a network that compares two digit images.

    `family` makes it from its traits and the hyperparameters, whose defaults may be other ones for
    this member.
    """
    traits = Traits(weight_sharing, auxiliary_loss, asymmetry_loss)
    entry = Architecture(
        name=name,
        build=partial(family, traits, **defaults),
        task="digit pairs",
        dataset="mnist",
        augment=augment_pairs,
        source=source,
        **traits._asdict(),
    )
    return architectures.add(name, entry)


def count_parameters(model: nn.Module, *, biases: bool = True) -> int:
    """Trainable parameters; without `biases` those of linear and convolution weights alone."""
    if biases:
        return sum(p.numel() for p in model.parameters() if p.requires_grad)
    weighted = (nn.Linear, nn.Conv2d)
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, weighted))
