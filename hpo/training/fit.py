"""The hot loop: one fit of one model, epoch by epoch. Knows no search and no database.

Shapes: N batch or set, P parts of an example (two images), K classes.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hpo.architectures import Outputs
from hpo.datasets import Examples
from hpo.errors import HpoError
from hpo.seeds import derive
from hpo.settings import Precision
from hpo.training.config import TrainingConfig
from hpo.training.losses import make_loss
from hpo.training.metrics import Error, default_error
from hpo.training.optimization import Schedule, make_optimizer
from hpo.training.split import Split


EVALUATION_BATCH = 200
"""Nearly twice as many take a wide convolutional network 1.6 times as long: its memory is faulted
in anew each time. Half as many take a small network 1.3 times as long."""


class DivergedError(HpoError):
    """The loss or the error became infinite or no number at all."""


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


class Training:
    """One fit: `run_epoch` trains an epoch and gives the error on the held-out examples.

    All that is random in it comes from `seed`, a purpose as for `hpo.seeds.derive`.

    Raises:
        InputError: a hyperparameter is out of its range, or the loss does not fit the targets.
    """

    def __init__(
        self,
        config: TrainingConfig,
        split: Split,
        device: torch.device,
        seed: tuple[str | int, ...],
    ) -> None:
        self.config, self.split, self._seed = config, split, seed
        torch.manual_seed(derive(*seed, "initialization"))
        self.model = config.build().to(device)
        images_last(self.model)
        fit, n_batches = config.optimization, len(starts(len(split.train), config.batch_size))
        self.loss = config.architecture.loss or make_loss(fit, split.train)
        self._optimizer = make_optimizer(self.model, fit)
        self._schedule = Schedule(self._optimizer, fit, epochs=config.epochs, n_batches=n_batches)
        self.curve: list[float] = []
        self.train_s = 0.0

    def run_epoch(self) -> float:
        """Train one epoch; the error on the held-out examples after it.

        Raises:
            DivergedError: the loss or the error is not finite.
        """
        start = time.perf_counter()
        self.check_finite("loss", self._train())
        error = evaluate(self.model, self.split.held_out, self.split.error)
        self.add(error, time.perf_counter() - start)
        return error

    def begin_epoch(self) -> Examples:
        """Seed torch's generators for the next epoch; its training examples.

        Drawn next are their order and then, batch by batch, what the network draws.
        """
        torch.manual_seed(derive(*self._seed, "epoch", len(self.curve)))
        return self.config.augment(self.split.train)

    def add(self, error: float, seconds: float) -> None:
        """An epoch is done, in so many seconds, with this error on the held-out examples.

        Raises:
            DivergedError: the error is not finite.
        """
        self.check_finite("error", error)
        self.curve.append(error)
        self.train_s += seconds

    def check_finite(self, what: str, value: float) -> None:
        """See that this value of the epoch in hand can be used.

        Raises:
            DivergedError: it is not finite.
        """
        if not math.isfinite(value):
            raise DivergedError(f"the {what} became {value} in epoch {len(self.curve) + 1}")

    def _train(self) -> float:
        """One pass over the training examples; the sum of its batches' losses."""
        self.model.train()
        train = self.begin_epoch()
        total = torch.zeros((), device=train.inputs.device)
        for indices in batches(len(train), self.config.batch_size):
            batch = train.subset(indices.to(train.inputs.device))
            outputs = outputs_in(self.config.precision, self.model, batch.inputs)
            loss = self.loss(outputs, batch)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            self._schedule.after_step()
            total += loss.detach()
        self._schedule.after_epoch()
        return total.item()


def images_last(model: nn.Module) -> None:
    """Lay the weights of image convolutions out channels last, which is quicker on a CPU.

    By `to`: `contiguous` would leave those of a single channel as they are, and they are slower.
    """
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)


def outputs_of(model: Callable[[Tensor], Any], inputs: Tensor) -> Outputs:
    """What the model says of the inputs; a plain tensor is the answers alone."""
    outputs = model(inputs)
    return outputs if isinstance(outputs, Outputs) else Outputs(outputs)


def outputs_in(precision: Precision, model: Callable[[Tensor], Any], inputs: Tensor) -> Outputs:
    """The same in training, computed in that precision; a loss is computed in float32."""
    if precision == "float32":
        return outputs_of(model, inputs)
    with torch.autocast(inputs.device.type, torch.bfloat16):
        found = outputs_of(model, inputs)
    return Outputs._make(None if each is None else each.float() for each in found)


def starts(n: int, size: int) -> list[int]:
    """Where the batches of n examples begin; a last one of a single example joins its neighbour.

    BatchNorm has no spread to divide by in a batch of one.
    """
    found = list(range(0, n, size))
    if len(found) > 1 and n - found[-1] == 1:
        found.pop()
    return found


def batches(n: int, size: int) -> Iterator[Tensor]:
    """The indices of n examples in a random order, batch by batch."""
    order = torch.randperm(n)
    begins = starts(n, size)
    for start, end in zip(begins, [*begins[1:], n], strict=True):
        yield order[start:end]


@torch.inference_mode()
def evaluate(model: nn.Module, examples: Examples, error: Error = default_error) -> float:
    """The error of the model's answers; the share of wrong ones unless another is given."""
    model.eval()
    pieces = torch.split(examples.inputs, EVALUATION_BATCH)
    answers = torch.cat([outputs_of(model, piece).logits for piece in pieces])
    return float(error(answers, examples.targets))  # a data set's own may give a tensor
