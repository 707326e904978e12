"""Trainings of one setting as one model: a single such network would leave a GPU idle.

Each member draws and computes what it would alone: its own initial weights, batches, dropout masks
and BatchNorm statistics. Only sums are rounded otherwise.

Shapes: M members (the folds of a trial), N batch.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo import events
from hpo.datasets import Examples
from hpo.errors import HpoError
from hpo.training.cuda_graphs import Recorded
from hpo.training.dropout_masks import Dropouts, Mask, noted, replayed
from hpo.training.fit import EVALUATION_BATCH, Training, outputs_in, outputs_of, starts
from hpo.training.optimization import Schedule, make_optimizer


Tensors = dict[str, Tensor]


class NotVectorizableError(HpoError):
    """The network or its loss does something that cannot be done for several members at once."""


class Beginning(NamedTuple):
    """What a member has drawn at the beginning of an epoch, and what it goes on to draw from."""

    train: Examples
    order: Tensor
    generator: torch.Generator


def together(trainings: Sequence[Training]) -> "list[VectorizedTraining | Training]":
    """Trainings of one setting, stacked where they have as many examples each.

    Folds differ by one example at most. A network that cannot be stacked is trained alone.
    """
    groups = defaultdict(list)
    for training in trainings:
        groups[training.split.sizes].append(training)
    try:
        return [VectorizedTraining(each) if len(each) > 1 else each[0] for each in groups.values()]
    except NotVectorizableError as error:
        _tell_alone(trainings[0].config.architecture.name, str(error))
        return list(trainings)


@cache
def _tell_alone(name: str, reason: str) -> None:
    """Say it once a process."""
    words = f"folds of {name} are trained one by one, as they cannot be stacked: {reason}"
    events.warn("not_stacked", words, architecture=name)


class VectorizedTraining:
    """Trainings of one setting on as many examples each, trained together epoch by epoch.

    Weights and buffers of the members' models become views of the stacked ones.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        """Stack them as they are before their first epoch.

        Raises:
            NotVectorizableError: the network cannot be trained so; the trainings are untouched.
        """
        self._members, self._first = trainings, trainings[0]
        self._device = self._first.split.train.inputs.device
        models = [each.model for each in trainings]
        self._weights = _stacked([dict(each.named_parameters()) for each in models])
        self._buffers = _stacked([dict(each.named_buffers()) for each in models])
        self._trained = [each for each in self._weights.values() if each.requires_grad]
        self._masks = {n: self._rehearse(n) for n in sorted(set(self._sizes()))}
        self._recorded: dict[int, Recorded] = {}
        fit, epochs = self._first.config.optimization, self._first.config.epochs
        self._optimizer = make_optimizer(nn.ParameterList(self._trained), fit)
        n_batches = len(self._sizes())
        self._schedule = Schedule(self._optimizer, fit, epochs=epochs, n_batches=n_batches)
        self._held_out = torch.stack([each.split.held_out.inputs for each in trainings])
        for number, model in enumerate(models):
            _show(model, number, self._weights | self._buffers)

    def run_epoch(self) -> None:
        """Train one epoch of all members, and measure the error of each after it.

        Raises:
            DivergedError: a member's loss or error is not finite.
        """
        start = time.perf_counter()
        losses: list[float] = self._train().tolist()
        for training, loss in zip(self._members, losses, strict=True):
            training.check_finite("loss", loss)
        errors = self._evaluate()
        seconds = (time.perf_counter() - start) / len(self._members)
        for training, error in zip(self._members, errors, strict=True):
            training.add(error, seconds)

    def _sizes(self) -> list[int]:
        """How many examples the batches of an epoch have."""
        n = len(self._first.split.train)
        begins = starts(n, self._first.config.batch_size)
        return [end - begin for begin, end in zip(begins, [*begins[1:], n], strict=True)]

    def _train(self) -> Tensor:
        """One pass over the training examples; the sums of the batches' losses [M]."""
        self._first.model.train()
        begun = [self._begin(training) for training in self._members]
        fields = _stacked_fields([each.train for each in begun])
        members = torch.arange(len(begun), device=self._device)[:, None]
        orders = torch.stack([each.order for each in begun]).to(self._device)
        totals = torch.zeros(len(begun), device=self._device)
        for indices in torch.split(orders, self._sizes(), dim=1):
            n = indices.shape[1]
            batch = [each[members, indices] for each in fields]
            masks = [self._draw(mask, begun) for mask in self._masks[n]]
            losses, *gradients = self._compute(n, [*batch, *masks])
            for weight, gradient in zip(self._trained, gradients, strict=True):
                weight.grad = gradient
            self._optimizer.step()
            self._schedule.after_step()
            totals += losses
        self._schedule.after_epoch()
        return totals

    def _begin(self, training: Training) -> Beginning:
        """Draw what a member draws alone, from torch's global generators; then keep their state."""
        train = training.begin_epoch()
        order = torch.randperm(len(train))
        generator = torch.Generator(self._device)
        is_cuda = self._device.type == "cuda"
        generator.set_state(torch.cuda.get_rng_state() if is_cuda else torch.get_rng_state())
        return Beginning(train, order, generator)

    def _draw(self, mask: Mask, begun: Sequence[Beginning]) -> Tensor:
        """What dropout multiplies by, of each member from its own generator: [M, *shape]."""
        kept = [
            torch.empty_strided(mask.shape, mask.strides, device=self._device).bernoulli_(
                1 - mask.rate, generator=each.generator
            )
            for each in begun
        ]
        return torch.stack(kept).div_(1 - mask.rate)

    def _compute(self, n: int, arguments: list[Tensor]) -> Sequence[Tensor]:
        """Losses [M] and gradients of a batch; on a GPU recorded once for each size of a batch."""
        if self._device.type != "cuda":
            return self._losses_and_gradients(*arguments)
        if n not in self._recorded:
            kept = {name: each.clone() for name, each in self._buffers.items()}
            self._recorded[n] = Recorded(self._losses_and_gradients, arguments)
            for name, each in kept.items():  # recording has run it a few times
                self._buffers[name].copy_(each)
        return self._recorded[n](arguments)

    def _losses_and_gradients(self, *arguments: Tensor) -> Sequence[Tensor]:
        n_fields = len(_fields(self._first.split.train))
        fields, masks = arguments[:n_fields], arguments[n_fields:]

        def loss_of(weights: Tensors, buffers: Tensors, fields: Any, masks: Any) -> Tensor:
            return self._loss(weights, buffers, fields, replayed(masks))

        losses = vmap(loss_of)(self._weights, self._buffers, fields, masks)
        gradients = torch.autograd.grad(losses.sum(), self._trained, allow_unused=True)
        # A fused optimizer reads a gradient as if it lay in memory as its weight does.
        laid_out = [None if each is None else each.contiguous() for each in gradients]
        return [losses.detach(), *laid_out]

    def _loss(
        self, weights: Tensors, buffers: Tensors, fields: Sequence[Tensor], dropout: Dropouts
    ) -> Tensor:
        """One member's loss of one batch."""
        batch = Examples(*fields)

        def model(inputs: Tensor) -> Any:
            return functional_call(self._first.model, (weights, buffers), (inputs,))

        with dropout:
            outputs = outputs_in(self._first.config.precision, model, batch.inputs)
        return self._first.loss(outputs, batch)

    def _rehearse(self, n: int) -> list[Mask]:
        """Compute a batch of that size, for nothing; the dropouts that the network asks for.

        Raises:
            NotVectorizableError: the stacked network cannot compute it.
        """
        fields = [each[:, :n] for each in _stacked_fields([t.split.train for t in self._members])]
        buffers = {name: each.clone() for name, each in self._buffers.items()}
        alone, masks = deepcopy(self._first.model).train(), list[Mask]()
        with torch.no_grad(), noted(masks):
            outputs_in(self._first.config.precision, alone, fields[0][0])

        def loss_of(weights: Tensors, buffers: Tensors, fields: Any) -> Tensor:
            return self._loss(weights, buffers, fields, noted([]))

        self._first.model.train()
        try:
            losses = vmap(loss_of)(self._weights, buffers, fields)
            torch.autograd.grad(losses.sum(), self._trained, allow_unused=True)
        except RuntimeError as error:
            raise NotVectorizableError(" ".join(str(error).split())) from error
        return masks

    @torch.inference_mode()
    def _evaluate(self) -> list[float]:
        """Each member's error on its held-out examples."""
        model = self._first.model
        model.eval()

        def answers_of(weights: Tensors, buffers: Tensors, inputs: Tensor) -> Tensor:
            def call(inputs: Tensor) -> Any:
                return functional_call(model, (weights, buffers), (inputs,))

            return outputs_of(call, inputs).logits

        size = EVALUATION_BATCH if self._device.type == "cpu" else self._held_out.shape[1]
        pieces = torch.split(self._held_out, size, dim=1)
        answers = [vmap(answers_of)(self._weights, self._buffers, piece) for piece in pieces]
        return [
            float(training.split.error(own, training.split.held_out.targets))
            for training, own in zip(self._members, torch.cat(answers, dim=1), strict=True)
        ]


def _fields(examples: Examples) -> list[Tensor]:
    found = (examples.inputs, examples.targets, examples.auxiliary)
    return [each for each in found if each is not None]


def _stacked_fields(of_members: Sequence[Examples]) -> list[Tensor]:
    return [torch.stack(each) for each in zip(*map(_fields, of_members), strict=True)]


def _stacked(states: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """Of the same names; what is trained in the models is trained here."""
    return {
        name: nn.Parameter(
            torch.stack([each[name].detach() for each in states]).contiguous(),
            requires_grad=like.requires_grad,
        )
        for name, like in states[0].items()
    }


def _show(model: nn.Module, member: int, state: Tensors) -> None:
    """Make a model's weights and buffers views of the stacked ones."""
    for name, tensor in _tensors(model):
        tensor.data = state[name].data[member]


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
