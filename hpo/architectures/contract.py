"""The interface of an architecture: a factory of networks with keyword hyperparameters.

A user's package can add architectures in two ways: by an entry point in the group
`hpo.architectures`, or by being named as `package.module:attribute`. The object must be an
`Architecture` or a factory, that is, a function that returns a network or an `nn.Module` class.
`examples/` shows both ways.

Shapes: N batch, P parts of an example (the two images of a pair), K classes, D targets.
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
    """The return value of a network's forward pass. A plain tensor means `Outputs(logits)`.

    logits: the answer: logits [N, K] for classification, values [N] or [N, D] for regression. A
        training fails if an answer to a held-out example is infinite or NaN.
    auxiliary: logits [N, P, K'] of each part's own label (the two digits), or None.
    swapped: logits [N, K] of the answer when the two parts are swapped, or None.
    """

    logits: Tensor
    auxiliary: Tensor | None = None
    swapped: Tensor | None = None


class Traits(NamedTuple):
    """The properties in which architectures of a family differ, such as fnn and fnn-ws."""

    weight_sharing: bool = False
    auxiliary_loss: bool = False
    asymmetry_loss: bool = False


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A kind of network; `build(**hyperparameters)` returns a new network.

    Only `build` is required. hpo calls `build` with the hyperparameters of one configuration as
    keyword arguments, so that each parameter needs a name and a default. The shape of the inputs
    is not passed. torch's global generator is seeded before the call. All layers of the network
    are new; only constants may be shared with earlier networks. The network takes standardized
    inputs [N, ...] and returns `Outputs` or a plain tensor.

    name: the name in messages. hpo replaces it by the name under which the object was found.
    task: the `DataSet.task` that the network needs; None accepts any data set.
    dataset: the name of the data set that a study uses by default.
    weight_sharing: whether one encoder reads all parts of an example.
    auxiliary_loss: whether `Outputs.auxiliary` is set; the weight of its loss can be searched.
    asymmetry_loss: whether `Outputs.swapped` is set; the weight of its loss can be searched.
    loss: `loss(outputs, batch)` replaces the built-in losses and returns the whole training loss.
        `outputs` is always an `Outputs`; the inputs of `batch` are standardized.
    augment: `augment(examples, **hyperparameters)` returns the training examples of one epoch.
        Inputs are standardized. Its keywords need defaults and can be searched.
    source: the origin of the network, shown by `hpo architectures`.
    recipe: the file of its search space, such as `Path(__file__).with_name("mine.yaml")`. With a
        recipe, `--space` is optional.
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
        """The parameters of `build` with their defaults.

        Raises:
            InputError: a parameter has no default, or `build` takes no named parameters.
        """
        return _defaults(f"the factory of {self.name}", self.build)

    @cached_property
    def augmentations(self) -> dict[str, Any]:
        """The parameters of `augment` with their defaults, without the examples.

        Raises:
            InputError: a parameter has no default, or `augment` takes no named parameters.
        """
        if self.augment is None:
            return {}
        return _defaults(f"augment of {self.name}", self.augment, n_skipped=1)


def _defaults(subject: str, function: Callable[..., Any], n_skipped: int = 0) -> dict[str, Any]:
    """The default of each parameter that can be passed by name, after the first `n_skipped`.

    `subject` names the function in error messages.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())[n_skipped:]
    except (TypeError, ValueError) as error:
        raise InputError(f"the parameters of {subject} cannot be read: {error}") from error
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if required := [p.name for p in named if p.default is p.empty]:
        raise InputError(
            f"{subject} needs {', '.join(required)}: every parameter is a hyperparameter and has "
            "to have a default"
        )
    if parameters and not named:
        raise InputError(
            f"{subject} takes {', '.join(map(str, parameters))}: hyperparameters have to have "
            "names, such as width=64"
        )
    return {p.name: p.default for p in named}


def _adopt(name: str, candidate: object) -> Architecture:
    """The architecture of another package; `candidate` is the object found there.

    Raises:
        InputError: `candidate` is neither an architecture nor a factory, or has no usable
            parameters.
    """
    if isinstance(candidate, Architecture):
        entry = replace(candidate, name=name)
    elif callable(candidate) and not isinstance(candidate, nn.Module):
        entry = Architecture(name=name, build=candidate)
    else:
        raise InputError(
            f"architecture {name}: should be a function or class that makes a network, or an "
            f"hpo.Architecture, but its type is {type(candidate).__name__}"
        )
    _ = entry.hyperparameters, entry.augmentations  # these properties check the parameters
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

    `family(traits, **hyperparameters)` builds the network. `defaults` replace the family's own
    defaults of hyperparameters for this network.
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
    """Number of trainable parameters.

    Without `biases`, only the weights of linear and convolution layers are counted.
    """
    if biases:
        return sum(p.numel() for p in model.parameters() if p.requires_grad)
    weighted = (nn.Linear, nn.Conv2d)
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, weighted))
