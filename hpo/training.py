"""The hot loop: one fit of one model, epoch by epoch. Knows no search and no database.

Shapes: N batch or set, P parts of an example (two images), K classes.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo.architectures import Architecture, Outputs
from hpo.datasets import Examples
from hpo.errors import HpoError, InputError
from hpo.seeds import derive


EVALUATION_BATCH = 100
"""Larger ones are slower: what their layers hand on no longer fits into a core's cache."""


class DivergedError(HpoError):
    """The loss became infinite or no number at all."""


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """The hyperparameters that belong to the fit, whatever the network.

    `aux_weight` is the weight of the auxiliary loss, for networks that have one.

    Raises:
        InputError: one is no number, or below 0.
    """

    learning_rate: float = 0.001
    weight_decay: float = 0.0
    aux_weight: float = 1.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise InputError(f"{name}: should be a number from 0, but it is {value!r}")


def hyperparameters(architecture: Architecture) -> dict[str, Any]:
    """All that a recipe can search for this architecture, with the defaults."""
    names = [f for f in fields(Optimization) if f.name != "aux_weight"]
    if architecture.auxiliary_loss:
        names = list(fields(Optimization))
    return {f.name: f.default for f in names} | architecture.hyperparameters


def find_device(name: str) -> torch.device:
    """The device of that name; auto takes a GPU where there is one.

    Raises:
        InputError: it is not there.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: no CUDA device can be used here; use cpu or auto")
    chosen = "cuda" if name == "auto" and torch.cuda.is_available() else name
    return torch.device("cpu" if chosen == "auto" else chosen)


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread and no denormal numbers: trainings in it are fast and repeat bit for bit."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # torch does not tell what it was; this is its default
        torch.set_num_threads(n_threads)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What one training is of: the network, its hyperparameters, and how long it trains."""

    architecture: Architecture
    params: Mapping[str, Any]
    epochs: int
    batch_size: int

    def build(self) -> nn.Module:
        """The network, initialized from torch's global seed."""
        own = self.architecture.hyperparameters
        return self.architecture.build(**{k: v for k, v in self.params.items() if k in own})

    def try_build(self) -> nn.Module:
        """The network, for hyperparameters that nobody has tried.

        Raises:
            InputError: its factory refuses them, whatever it raises, or makes something else.
        """
        name = self.architecture.name
        try:
            model = self.build()
        except HpoError:
            raise
        except Exception as error:
            raise InputError(
                f"{name} cannot be built with {self.params}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(model, nn.Module):
            raise InputError(f"the factory of {name} gives no torch module")
        return model

    @property
    def optimization(self) -> Optimization:
        """The hyperparameters of the fit; what is not given has its default."""
        own = {f.name for f in fields(Optimization)}
        return Optimization(**{k: v for k, v in self.params.items() if k in own})


class Standardize(nn.Module):
    """Subtracts one mean and divides by one standard deviation, those of the training images."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor | None = None, std: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()) if mean is None else mean)
        self.register_buffer("std", torch.ones(()) if std is None else std)

    @classmethod
    def of(cls, inputs: Tensor) -> Self:
        """Measured on `inputs`, of any shape."""
        std = inputs.std()
        return cls(inputs.mean(), torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Any shape, which stays."""
        return (inputs - self.mean) / self.std


@dataclass(frozen=True, eq=False)
class Split:
    """Training and held-out examples, both standardized by the training ones alone."""

    train: Examples
    held_out: Examples
    standardize: Standardize

    @classmethod
    def of(cls, train: Examples, held_out: Examples, device: torch.device) -> Self:
        """Standardizes both and moves them to the device."""
        standardize = Standardize.of(train.inputs)
        return cls(
            standardized(train, standardize).to(device),
            standardized(held_out, standardize).to(device),
            standardize,
        )


def standardized(examples: Examples, standardize: Standardize) -> Examples:
    """The examples with their inputs standardized."""
    return Examples(standardize(examples.inputs), examples.targets, examples.auxiliary)


class Training:
    """One fit: `run_epoch` trains an epoch and gives the error on the held-out examples.

    All that is random in it comes from `seed`, a purpose as for `hpo.seeds.derive`.
    """

    def __init__(
        self, setting: Setting, split: Split, device: torch.device, seed: tuple[str | int, ...]
    ) -> None:
        self._setting, self._split, self._seed = setting, split, seed
        torch.manual_seed(derive(*seed, "initialization"))
        self.model = setting.build().to(device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._aux_weight = setting.optimization.aux_weight
        self._optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=setting.optimization.learning_rate,
            weight_decay=setting.optimization.weight_decay,
            fused=True,
        )
        self.curve: list[float] = []
        self.train_s = 0.0

    def run_epoch(self) -> float:
        """Train one epoch; the share of held-out examples that are then answered wrongly.

        Raises:
            DivergedError: the loss is not finite.
        """
        start = time.perf_counter()
        torch.manual_seed(derive(*self._seed, "epoch", len(self.curve)))
        loss = self._train()
        if not math.isfinite(loss):
            raise DivergedError(f"the loss became {loss} in epoch {len(self.curve) + 1}")
        self.curve.append(evaluate(self.model, self._split.held_out))
        self.train_s += time.perf_counter() - start
        return self.curve[-1]

    def _train(self) -> float:
        """One pass over the training examples; the sum of its batches' losses."""
        self.model.train()
        train = self._split.train
        total = torch.zeros((), device=train.inputs.device)
        for indices in batches(len(train), self._setting.batch_size):
            batch = train.subset(indices.to(train.inputs.device))
            loss = self._loss(self.model(batch.inputs), batch)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            total += loss.detach()
        return total.item()

    def _loss(self, outputs: Outputs, batch: Examples) -> Tensor:
        """Cross-entropy of the answer, and of each part's own label by the auxiliary weight."""
        loss = functional.cross_entropy(outputs.logits, batch.targets)
        if outputs.auxiliary is None or batch.auxiliary is None:
            return loss
        n_parts = batch.auxiliary.shape[1]
        logits_MK, labels_M = outputs.auxiliary.flatten(0, 1), batch.auxiliary.flatten()
        return loss + self._aux_weight * n_parts * functional.cross_entropy(logits_MK, labels_M)


def batches(n: int, size: int) -> Iterator[Tensor]:
    """A random order of n examples in batches; a last one of a single example joins its neighbour.

    BatchNorm has no spread to divide by in a batch of one.
    """
    order = torch.randperm(n)
    starts = list(range(0, n, size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], n], strict=True):
        yield order[start:end]


@torch.inference_mode()
def evaluate(model: nn.Module, examples: Examples) -> float:
    """The share of examples whose answer is wrong, from 0 to 1."""
    model.eval()
    n_wrong = 0
    for start in range(0, len(examples), EVALUATION_BATCH):
        end = start + EVALUATION_BATCH
        answers = model(examples.inputs[start:end]).logits.argmax(dim=1)
        n_wrong += int((answers != examples.targets[start:end]).sum())
    return n_wrong / len(examples)
