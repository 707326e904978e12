"""What an architecture is: a factory of networks with keyword hyperparameters.

Shapes: N batch, P the two images of a pair, C channels, H W image, K classes.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from torch import Tensor, nn

from hpo.registry import Registry


class Outputs(NamedTuple):
    """What a network's forward gives.

    logits: [N, K] of the task's answer. auxiliary: [N, P, K'] logits of each part's own label
    (the two digits), or None where the architecture has no auxiliary loss.
    """

    logits: Tensor
    auxiliary: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A named network; `build(**hyperparameters)` makes one, each keyword having a default.

    `source` is the report and table that it comes from; `dataset` what a study takes by default.
    """

    name: str
    build: Callable[..., nn.Module]
    task: str
    dataset: str
    weight_sharing: bool
    auxiliary_loss: bool
    asymmetry_loss: bool
    source: str

    @cached_property
    def hyperparameters(self) -> dict[str, Any]:
        """The factory's keywords with their defaults."""
        keywords = inspect.signature(self.build).parameters
        return {name: keyword.default for name, keyword in keywords.items()}


architectures: Registry[Architecture] = Registry("architecture")


def pair_architecture(
    name: str,
    *,
    source: str,
    weight_sharing: bool = False,
    auxiliary_loss: bool = False,
    asymmetry_loss: bool = False,
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register the decorated factory as a network that compares two digit images."""

    def enter(build: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        entry = Architecture(
            name=name,
            build=build,
            task="digit pairs",
            dataset="mnist",
            weight_sharing=weight_sharing,
            auxiliary_loss=auxiliary_loss,
            asymmetry_loss=asymmetry_loss,
            source=source,
        )
        architectures.add(name, entry)
        return build

    return enter


def count_parameters(model: nn.Module, *, biases: bool = True) -> int:
    """Trainable parameters; without `biases` those of linear and convolution weights alone."""
    if biases:
        return sum(p.numel() for p in model.parameters() if p.requires_grad)
    weighted = (nn.Linear, nn.Conv2d)
    return sum(m.weight.numel() for m in model.modules() if isinstance(m, weighted))
