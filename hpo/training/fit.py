"""The training loop: one fit of one model, epoch by epoch, independent of search and database.

Shapes: N batch or set, P parts of an example (two images), K classes.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hpo.architectures import Outputs
from hpo.datasets import Examples
from hpo.errors import HpoError, InputError
from hpo.seeds import derive
from hpo.settings import Precision
from hpo.training.config import TrainingConfig
from hpo.training.losses import make_loss
from hpo.training.metrics import Error, default_error
from hpo.training.optimization import Schedule, make_optimizer
from hpo.training.sharing import check_new
from hpo.training.split import Split


EVALUATION_BATCH = 200
"""Examples per batch of an evaluation.

Measured: with nearly twice as many, a wide convolutional network takes 1.6 times as long, because
each batch allocates memory that the operating system maps anew. With half as many, a small
network takes 1.3 times as long.
"""

SHOULD_RETURN = (
    "it should return a torch tensor, or several tensors as hpo.Outputs(logits, auxiliary, swapped)"
)


class DivergedError(HpoError):
    """The loss or the error of a training became infinite or NaN."""


@contextmanager
def repeatable() -> Iterator[None]:
    """A context with one thread and without denormal numbers.

    Trainings on the CPU in this context are fast and repeat bit for bit.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)  # torch's default; the former value cannot be read
        torch.set_num_threads(n_threads)


class Training:
    """One fit of one model. `run_epoch` trains an epoch and returns the held-out error.

    Every random number derives from `seed`, a purpose as for `hpo.seeds.derive`. `curve` holds
    the held-out error after each epoch, `train_s` the seconds of all epochs so far.

    Raises:
        InputError: a hyperparameter is out of its range, or the loss does not fit the targets.
        SharedNetworkError: the network has a trainable weight of an earlier network.
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
        check_new(config.architecture.name, self.model)
        fit, n_batches = config.optimization, len(batch_starts(len(split.train), config.batch_size))
        self.loss = config.architecture.loss or make_loss(fit, split.train)
        self._optimizer = make_optimizer(self.model, fit)
        self._schedule = Schedule(self._optimizer, fit, epochs=config.epochs, n_batches=n_batches)
        self.curve: list[float] = []
        self.train_s = 0.0

    def run_epoch(self) -> float:
        """Train one epoch and return the error on the held-out examples.

        Raises:
            DivergedError: the loss or the error is not finite.
        """
        start = time.perf_counter()
        self.check_finite("loss", self._train())
        error = self.measure(answers_to(self.model, self.split.held_out.inputs))
        self.add(error, time.perf_counter() - start)
        return error

    def begin_epoch(self) -> Examples:
        """Seed torch's generators for the next epoch and return its training examples.

        The caller must then draw the order of the examples first, and after it the random numbers
        of the network, batch by batch.
        """
        torch.manual_seed(derive(*self._seed, "epoch", len(self.curve)))
        return self.config.augment(self.split.train)

    @torch.inference_mode()
    def measure(self, answers: Tensor) -> float:
        """The error of the network's answers to the held-out examples.

        Raises:
            DivergedError: an answer is not finite; the largest of such answers would mean nothing.
            InputError: there is not one answer for each example.
        """
        targets = self.split.held_out.targets.clone()  # a user's error may change its arguments
        if answers.shape[:1] != targets.shape[:1]:
            raise InputError(
                f"the network returns answers {list(answers.shape)} to {len(targets)} held-out "
                "examples; it should return one answer for each"
            )
        if not answers.isfinite().all():
            raise DivergedError(
                "answers to held-out examples became infinite or NaN in epoch "
                f"{len(self.curve) + 1}"
            )
        return float(self.split.error(answers, targets))  # perhaps a tensor

    def add(self, error: float, seconds: float) -> None:
        """Record a trained epoch: its error on the held-out examples and its seconds.

        Raises:
            DivergedError: the error is not finite.
        """
        self.check_finite("error", error)
        self.curve.append(error)
        self.train_s += seconds

    def check_finite(self, name: str, value: float) -> None:
        """Check that the loss or error of the current epoch is finite; `name` says which.

        Raises:
            DivergedError: the value is not finite.
        """
        if not math.isfinite(value):
            raise DivergedError(f"the {name} became {value} in epoch {len(self.curve) + 1}")

    def _train(self) -> float:
        """Train on every example once and return the sum of the batches' losses."""
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
    """Convert the weights of 2-d convolutions to channels-last format, which is faster on a CPU.

    `to` converts the weights of one-channel convolutions, too. `contiguous` would not.
    """
    for weight in model.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.to(memory_format=torch.channels_last)


def outputs_of(model: Callable[[Tensor], Any], inputs: Tensor) -> Outputs:
    """The model's outputs for a batch of inputs; a plain tensor becomes `Outputs(logits)`.

    Raises:
        InputError: the model returns something else than a tensor or `Outputs` of tensors.
    """
    outputs = model(inputs)
    if isinstance(outputs, Tensor):
        return Outputs(outputs)
    if not isinstance(outputs, Outputs):
        raise InputError(f"the network returns {_kind(outputs)}; {SHOULD_RETURN}")
    for name, value in outputs._asdict().items():
        if not isinstance(value, Tensor) and (value is not None or name == "logits"):
            raise InputError(
                f"the network returns hpo.Outputs whose {name} is {_kind(value)}; {SHOULD_RETURN}"
            )
    return outputs


def _kind(value: object) -> str:
    """The type of a network's answer, in words for a message."""
    if not isinstance(value, tuple | list):
        return "None" if value is None else f"a {type(value).__name__}"
    return f"a {type(value).__name__} of {', '.join(type(part).__name__ for part in value[:5])}"


def outputs_in(precision: Precision, model: Callable[[Tensor], Any], inputs: Tensor) -> Outputs:
    """The model's outputs for a training batch, computed in `precision`.

    The outputs are always float32, so that the loss is computed in float32.
    """
    if precision == "float32":
        return outputs_of(model, inputs)
    with torch.autocast(inputs.device.type, torch.bfloat16):
        outputs = outputs_of(model, inputs)
    return Outputs._make(None if tensor is None else tensor.float() for tensor in outputs)


def batch_starts(n: int, size: int) -> list[int]:
    """The index of the first example of each batch, for n examples in batches of `size`.

    A last batch of one example is merged with the batch before it, because BatchNorm cannot
    normalize a single example.
    """
    begins = list(range(0, n, size))
    if len(begins) > 1 and n - begins[-1] == 1:
        begins.pop()
    return begins


def batch_sizes(n: int, size: int) -> list[int]:
    """The number of examples in each batch, for n examples in batches of `size`."""
    begins = batch_starts(n, size)
    return [end - start for start, end in zip(begins, [*begins[1:], n], strict=True)]


def batches(n: int, size: int) -> Sequence[Tensor]:
    """The indices of n examples in random order, batch by batch."""
    return torch.split(torch.randperm(n), batch_sizes(n, size))


def in_batches(
    answer: Callable[[Tensor], Tensor], inputs: Tensor, size: int = EVALUATION_BATCH, dim: int = 0
) -> Tensor:
    """The answers to inputs whose examples lie along `dim`, computed in batches of `size`.

    No batch has one example, as in training: a network may drop that dimension with `squeeze`. A
    single example is therefore answered twice. `answer` gets copies, so that a network that changes
    its inputs in place does not change the examples.
    """
    n = inputs.shape[dim]
    if n == 1:
        return answer(torch.cat([inputs, inputs], dim)).narrow(dim, 0, 1)
    pieces = torch.split(inputs, batch_sizes(n, size), dim)
    return torch.cat([answer(piece.clone()) for piece in pieces], dim)


@torch.inference_mode()
def answers_to(model: nn.Module, inputs: Tensor) -> Tensor:
    """The model's answers to all inputs, without dropout."""
    model.eval()
    return in_batches(lambda piece: outputs_of(model, piece).logits, inputs)


@torch.inference_mode()
def evaluate(model: nn.Module, examples: Examples, error: Error = default_error) -> float:
    """The error of the model's answers to all examples, without dropout."""
    return float(error(answers_to(model, examples.inputs), examples.targets))
