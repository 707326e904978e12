"""Several trainings of one configuration as one model: one small network leaves a GPU idle.

How it works:

1. The members are trainings of the same configuration, such as the folds of a trial. They have
   equally many examples.
2. Each weight of the members' networks is stacked into one tensor with a leading dimension M. The
   networks' own weights become views of it, so they always hold the current values.
3. Before the first epoch one batch of each size is computed for nothing. That shows whether torch's
   `vmap` can compute the network, and which dropout masks the network asks for.
4. In each epoch every member draws what it would draw alone, from its own seed: the order of its
   examples, then its dropout masks batch by batch.
5. For each batch `vmap` computes the M losses in one pass. One backward pass of their sum gives the
   gradients of all members, since no member's loss depends on another's weights.
6. One optimizer and one schedule step all members. Optimizers work weight by weight, so each member
   gets what its own optimizer would give it.
7. On a GPU the passes of one batch size are recorded as a CUDA graph and replayed.

A member's results differ from those of a training alone by the rounding of sums, nothing else.

Shapes: M members, N batch.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpo import events
from hpo.datasets import Examples
from hpo.errors import HpoError
from hpo.training.cuda_graphs import RecordedGraph
from hpo.training.dropout_masks import Dropouts, Mask, recording_masks, replaying_masks
from hpo.training.fit import (
    EVALUATION_BATCH,
    Training,
    batch_sizes,
    in_batches,
    outputs_in,
    outputs_of,
)
from hpo.training.optimization import Schedule, make_optimizer


Tensors: TypeAlias = dict[str, Tensor]
"""Weights or buffers of a network by name."""


class NotVectorizableError(HpoError):
    """The network or its loss does something that `vmap` cannot compute for several members."""


class Beginning(NamedTuple):
    """What a member draws at the beginning of an epoch, and the generator of its dropout masks."""

    train: Examples
    order: Tensor
    generator: torch.Generator


def together(trainings: Sequence[Training]) -> "list[VectorizedTraining | Training]":
    """Trainings of one configuration, vectorized as far as they have equally many examples.

    The sizes of folds differ by one example at most. A network that cannot be vectorized is trained
    alone, with one warning a process.
    """
    by_sizes = defaultdict(list)
    for training in trainings:
        by_sizes[training.split.sizes].append(training)
    try:
        return [
            VectorizedTraining(members) if len(members) > 1 else members[0]
            for members in by_sizes.values()
        ]
    except NotVectorizableError as error:
        _warn_once(trainings[0].config.architecture.name, str(error))
        return list(trainings)


@cache
def _warn_once(name: str, reason: str) -> None:
    message = f"folds of {name} are trained one by one, as they cannot be vectorized: {reason}"
    events.warn("not_stacked", message, architecture=name)


class VectorizedTraining:
    """Trainings of one configuration on equally many examples, trained as one model."""

    def __init__(self, trainings: Sequence[Training]) -> None:
        """Stack trainings that have not begun their first epoch.

        Raises:
            NotVectorizableError: the network cannot be vectorized; the trainings are unchanged.
        """
        self._members, self._first = trainings, trainings[0]
        self._device = self._first.split.train.inputs.device
        models = [training.model for training in trainings]
        self._weights = _stacked([dict(model.named_parameters()) for model in models])
        self._buffers = _stacked([dict(model.named_buffers()) for model in models])
        self._trained = [weight for weight in self._weights.values() if weight.requires_grad]
        self._masks = {n: self._rehearse(n) for n in sorted(set(self._batch_sizes()))}
        self._recorded: dict[int, RecordedGraph] = {}
        fit, epochs = self._first.config.optimization, self._first.config.epochs
        self._optimizer = make_optimizer(nn.ParameterList(self._trained), fit)
        n_batches = len(self._batch_sizes())
        self._schedule = Schedule(self._optimizer, fit, epochs=epochs, n_batches=n_batches)
        self._held_out = torch.stack([training.split.held_out.inputs for training in trainings])
        for member, model in enumerate(models):
            _share_memory(model, member, self._weights | self._buffers)

    def run_epoch(self) -> None:
        """Train one epoch of all members, then measure each member's error.

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

    def _batch_sizes(self) -> list[int]:
        return batch_sizes(len(self._first.split.train), self._first.config.batch_size)

    def _train(self) -> Tensor:
        """Pass once over the training examples; the sums of the batches' losses [M]."""
        self._first.model.train()
        beginnings = [self._begin(training) for training in self._members]
        fields = _stacked_fields([beginning.train for beginning in beginnings])
        members = torch.arange(len(beginnings), device=self._device)[:, None]
        orders = torch.stack([beginning.order for beginning in beginnings]).to(self._device)
        totals = torch.zeros(len(beginnings), device=self._device)
        for indices in torch.split(orders, self._batch_sizes(), dim=1):
            n = indices.shape[1]
            batch = [field[members, indices] for field in fields]
            masks = [self._draw(mask, beginnings) for mask in self._masks[n]]
            losses, *gradients = self._compute(n, [*batch, *masks])
            self._step(gradients)
            totals += losses
        self._schedule.after_epoch()
        return totals

    def _step(self, gradients: Sequence[Tensor]) -> None:
        for weight, gradient in zip(self._trained, gradients, strict=True):
            weight.grad = gradient
        self._optimizer.step()
        self._schedule.after_step()

    def _begin(self, training: Training) -> Beginning:
        """Draw what a member draws alone, and keep the state of torch's global generator."""
        train = training.begin_epoch()
        order = torch.randperm(len(train))
        generator = torch.Generator(self._device)
        is_cuda = self._device.type == "cuda"
        generator.set_state(torch.cuda.get_rng_state() if is_cuda else torch.get_rng_state())
        return Beginning(train, order, generator)

    def _draw(self, mask: Mask, beginnings: Sequence[Beginning]) -> Tensor:
        """A dropout mask for every member, each from the member's own generator: [M, *shape]."""
        kept = [
            torch.empty_strided(mask.shape, mask.strides, device=self._device).bernoulli_(
                1 - mask.rate, generator=beginning.generator
            )
            for beginning in beginnings
        ]
        return torch.stack(kept).div_(1 - mask.rate)

    def _compute(self, n: int, arguments: list[Tensor]) -> Sequence[Tensor]:
        """The losses [M] and gradients of one batch of `n` examples for each of the M members."""
        if self._device.type != "cuda":
            return self._losses_and_gradients(*arguments)
        if n not in self._recorded:
            before = {name: buffer.clone() for name, buffer in self._buffers.items()}
            self._recorded[n] = RecordedGraph(self._losses_and_gradients, arguments)
            for name, buffer in before.items():  # recording has run the computation a few times
                self._buffers[name].copy_(buffer)
        return self._recorded[n](arguments)

    def _losses_and_gradients(self, *arguments: Tensor) -> Sequence[Tensor]:
        n_fields = len(_fields(self._first.split.train))
        fields, masks = arguments[:n_fields], arguments[n_fields:]

        def loss_of(weights: Tensors, buffers: Tensors, fields: Any, masks: Any) -> Tensor:
            return self._loss(weights, buffers, fields, replaying_masks(masks))

        losses = vmap(loss_of)(self._weights, self._buffers, fields, masks)
        gradients = torch.autograd.grad(losses.sum(), self._trained, allow_unused=True)
        # A fused optimizer reads a gradient as if it lay in memory as its weight does.
        laid_out = [None if gradient is None else gradient.contiguous() for gradient in gradients]
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
        """Compute one batch of `n` examples for nothing; the dropouts that the network asks for.

        Raises:
            NotVectorizableError: `vmap` cannot compute the batch.
        """
        train = [training.split.train for training in self._members]
        fields = [field[:, :n] for field in _stacked_fields(train)]
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        alone, masks = deepcopy(self._first.model).train(), list[Mask]()
        with torch.no_grad(), recording_masks(masks):
            outputs_in(self._first.config.precision, alone, fields[0][0])

        def loss_of(weights: Tensors, buffers: Tensors, fields: Any) -> Tensor:
            return self._loss(weights, buffers, fields, recording_masks([]))

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

        def of_members(inputs: Tensor) -> Tensor:
            answers: Tensor = vmap(answers_of)(self._weights, self._buffers, inputs)
            return answers

        size = EVALUATION_BATCH if self._device.type == "cpu" else self._held_out.shape[1]
        answers = in_batches(of_members, self._held_out, size, dim=1)
        return [
            training.measure(answer)
            for training, answer in zip(self._members, answers, strict=True)
        ]


def _fields(examples: Examples) -> list[Tensor]:
    """The tensors of examples; the auxiliary labels only if there are any."""
    fields = (examples.inputs, examples.targets, examples.auxiliary)
    return [field for field in fields if field is not None]


def _stacked_fields(of_members: Sequence[Examples]) -> list[Tensor]:
    return [torch.stack(tensors) for tensors in zip(*map(_fields, of_members), strict=True)]


def _stacked(states: Sequence[Mapping[str, Tensor]]) -> Tensors:
    """The members' tensors of each name, stacked; trained here if they are trained there."""
    return {
        name: nn.Parameter(
            torch.stack([state[name].detach() for state in states]).contiguous(),
            requires_grad=like.requires_grad,
        )
        for name, like in states[0].items()
    }


def _share_memory(model: nn.Module, member: int, stacked: Tensors) -> None:
    """Make a network's weights and buffers views of the stacked ones."""
    for name, tensor in _tensors(model):
        tensor.data = stacked[name].data[member]


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
