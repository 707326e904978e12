"""What the tests of the zoo share: its entries, built and given data that fit them."""

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from hpo.architectures import Architecture, architectures
from hpo.architectures.blocks import ComparedPair
from hpo.datasets import Examples, load_dataset
from hpo.training.split import Split


CPU = torch.device("cpu")


def entries() -> list[Architecture]:
    """All architectures, in the zoo's order."""
    return [architectures.get(name) for name in architectures]


def selected(names: Iterable[str]) -> pytest.MarkDecorator:
    """Run a test for each of these architectures."""
    return pytest.mark.parametrize("name", list(names))


every = selected(architectures)
encoded = selected(e.name for e in entries() if isinstance(e.build(), ComparedPair))
a_family_s_auxiliary = selected(
    {e.name.partition("-")[0]: e.name for e in entries() if e.auxiliary_loss}.values()
)
"""One network of each family; its other variants have the same auxiliary loss."""
asymmetric = selected(e.name for e in entries() if e.asymmetry_loss)


def build(name: str, **params: Any) -> nn.Module:
    """The network of that name, initialized alike each time."""
    torch.manual_seed(0)
    return architectures.get(name).build(**params)


def without_dropout(model: nn.Module) -> nn.Module:
    """The same network, whose answers in training do not depend on chance."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def split(name: str, n: int = 8) -> Split:
    """`n` standardized examples, both to train and held out; of pairs, those of bundled digits."""
    entry = architectures.get(name)
    dataset = "digits" if entry.task == "digit pairs" else entry.dataset or "digits"
    drawn = load_dataset(dataset).draw_train(n, seed=0)
    return Split.of(drawn, drawn, CPU)


def examples(name: str, n: int = 8) -> Examples:
    """`n` standardized examples that the architecture is made for."""
    return split(name, n).train
