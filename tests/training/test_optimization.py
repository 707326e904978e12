"""Fits: each optimizer, schedule and initialization is what its name says; bad values are told."""

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop

from hpo.architectures import Architecture, Outputs
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training
from hpo.training.optimization import OPTIMIZERS, Optimization, defaults, make_optimizer
from hpo.training.split import Split


CPU = torch.device("cpu")


def fit(**given: Any) -> Optimization:
    return Optimization.make(**given)


class OneWeight(nn.Module):
    """Its one weight is the answer to everything, so that a gradient can be chosen by the loss."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((1,), start))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.weight.expand(len(inputs), 2)


class TestOptimizers:
    @pytest.mark.parametrize(
        ("name", "kind", "special"),
        [
            ("adam", Adam, {"betas": (0.9, 0.999), "amsgrad": False}),
            ("adamw", AdamW, {"betas": (0.9, 0.999), "amsgrad": False}),
            ("sgd", SGD, {"momentum": 0, "nesterov": False}),
            ("momentum", SGD, {"momentum": 0.7, "nesterov": False, "dampening": 0}),
            ("nesterov", SGD, {"momentum": 0.7, "nesterov": True, "dampening": 0}),
            ("adagrad", Adagrad, {"lr_decay": 0}),
            ("rmsprop", RMSprop, {"momentum": 0, "alpha": 0.99}),
        ],
    )
    def test_each_is_torchs_of_that_name_with_its_settings(
        self, name: str, kind: type[Optimizer], special: dict[str, Any]
    ) -> None:
        given = fit(optimizer=name, learning_rate=0.02, weight_decay=0.003, momentum=0.7)
        optimizer = make_optimizer(OneWeight(), given)
        assert type(optimizer) is kind
        (group,) = optimizer.param_groups
        expected = {"lr": 0.02, "weight_decay": 0.003, "maximize": False} | special
        assert {key: group[key] for key in expected} == expected

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_each_trains_complex_weights(self, name: str) -> None:
        """torch has no fused step for them, but the step of real weights stays fused."""
        layer = nn.Linear(3, 2, dtype=torch.complex64)
        before = layer.weight.detach().clone()
        optimizer = make_optimizer(layer, fit(optimizer=name))
        layer(torch.ones(4, 3, dtype=torch.complex64)).abs().sum().backward()
        optimizer.step()
        assert not torch.equal(layer.weight, before)
        assert layer.weight.isfinite().all()
        (group,) = make_optimizer(OneWeight(), fit(optimizer=name)).param_groups
        assert group.get("fused") is (None if name == "rmsprop" else True)

    def test_without_settings_it_is_adam_as_torch_has_it(self) -> None:
        (group,) = make_optimizer(OneWeight(), fit()).param_groups
        assert {key: group[key] for key in ("lr", "weight_decay", "betas", "eps")} == {
            "lr": 0.001,
            "weight_decay": 0.0,
            "betas": (0.9, 0.999),
            "eps": 1e-8,
        }

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("sgd", 2 - 0.01 * 0.2),
            ("momentum", 2 - 0.01 * 0.2),
            ("nesterov", 2 - 0.01 * 0.2 * 1.9),
            ("adam", 2 - 0.01),  # the penalty is a gradient, whose size Adam takes away
            ("adagrad", 2 - 0.01),
            ("rmsprop", 2 - 0.01 / math.sqrt(0.01)),
            ("adamw", 2 - 0.01 * 0.2),  # beside the gradient: the weight shrinks by its share
        ],
    )
    def test_weight_decay_is_decoupled_with_adamw_alone(self, name: str, expected: float) -> None:
        """The first step of a weight of 2 that has no gradient of its own."""
        model = OneWeight(2.0)
        model.weight.grad = torch.zeros(1)
        given = fit(optimizer=name, learning_rate=0.01, weight_decay=0.1, momentum=0.9)
        make_optimizer(model, given).step()
        assert model.weight.item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", list(OPTIMIZERS))
    def test_each_trains_and_leaves_frozen_weights_alone(self, name: str) -> None:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        model[0].requires_grad_(False)
        before = [each.detach().clone() for each in model.parameters()]
        optimizer = make_optimizer(model, fit(optimizer=name, learning_rate=0.01))
        inputs, losses = torch.randn(50, 2), []
        for _ in range(20):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), (inputs[:, 0] > 0).long())
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]
        moved = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert moved == [False, False, True, True]


RATE, DECAY, EPOCHS, N_BATCHES = 0.5, 0.05, 25, 4


def one_cycle(step: int) -> float:
    """Up from 1/25 by half a cosine in 30 % of the steps, down to 1/250,000 by another."""
    peak, last = 0.3 * EPOCHS * N_BATCHES - 1, EPOCHS * N_BATCHES - 1
    low, lowest = RATE / 25, RATE / 25 / 10_000
    if step <= peak:
        return low + (RATE - low) * (1 - math.cos(math.pi * step / peak)) / 2
    share = (step - peak) / (last - peak)
    return lowest + (RATE - lowest) * (1 + math.cos(math.pi * share)) / 2


FORMULAS = {
    "none": lambda step: RATE,
    "exponential": lambda step: RATE * math.exp(-DECAY * (step // N_BATCHES)),
    "time_based": lambda step: RATE / (1 + DECAY * (step // N_BATCHES)),
    "step": lambda step: RATE * math.exp(-DECAY * 10 * (step // N_BATCHES // 10)),
    "cosine": lambda step: RATE * (1 + math.cos(math.pi * (step // N_BATCHES) / EPOCHS)) / 2,
    "one_cycle": one_cycle,
}


def rates(epochs: int = EPOCHS, n_batches: int = N_BATCHES, **params: Any) -> list[float]:
    """The learning rate of each step of a training: how far a gradient of 1 moves a weight."""
    seen: list[float] = []

    def loss(outputs: Outputs, batch: Examples) -> Tensor:
        seen.append(outputs.logits.double().mean().item())
        return outputs.logits.mean()

    n = 2 * n_batches
    examples = Examples(torch.rand(n, 3), torch.zeros(n, dtype=torch.int64))
    config = TrainingConfig(
        architecture=Architecture(build=OneWeight, loss=loss),
        params={"optimizer": "sgd", "learning_rate": RATE} | params,
        epochs=epochs,
        batch_size=2,
    )
    training = Training(config, Split.of(examples, examples, CPU), CPU, ("rates",))
    for _ in range(epochs):
        training.run_epoch()
    seen.append(next(training.model.parameters()).item())
    return [before - after for before, after in pairwise(seen)]


class TestSchedules:
    @pytest.mark.parametrize("schedule", list(FORMULAS))
    def test_the_learning_rate_of_each_step_is_the_formulas(self, schedule: str) -> None:
        expected = [FORMULAS[schedule](step) for step in range(EPOCHS * N_BATCHES)]
        assert rates(schedule=schedule, decay=DECAY) == pytest.approx(expected, abs=1e-5)

    @pytest.mark.parametrize("schedule", ["exponential", "time_based", "step"])
    def test_no_decay_is_no_schedule(self, schedule: str) -> None:
        assert rates(epochs=12, schedule=schedule, decay=0.0) == pytest.approx([RATE] * 48)

    @pytest.mark.parametrize("schedule", list(FORMULAS))
    @pytest.mark.parametrize(("epochs", "n_batches"), [(1, 1), (1, 2), (2, 1)])
    def test_the_shortest_trainings_have_a_learning_rate(
        self, schedule: str, epochs: int, n_batches: int
    ) -> None:
        found = rates(epochs, n_batches, schedule=schedule)
        assert len(found) == epochs * n_batches
        assert all(0 < rate <= RATE * (1 + 1e-6) for rate in found)

    @pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
    @pytest.mark.parametrize("schedule", list(FORMULAS))
    def test_every_optimizer_goes_with_every_schedule(self, optimizer: str, schedule: str) -> None:
        found = rates(3, 2, optimizer=optimizer, schedule=schedule, learning_rate=0.01)
        assert all(step > 0 for step in found), "a gradient of 1 always moves the weight down"


class Layers(nn.Module):
    """One of each kind of layer, large enough for a variance to be measured."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(8, 64, kernel_size=5)  # 200 in, 1,600 out
        self.norm = nn.BatchNorm2d(64)
        self.linear = nn.Linear(400, 100)
        self.without_bias = nn.Linear(100, 400, bias=False)


def initialized(name: str, seed: int = 0) -> Layers:
    torch.manual_seed(seed)
    config = TrainingConfig(
        architecture=Architecture(build=Layers),
        params={"initialization": name},
        epochs=1,
        batch_size=2,
    )
    model = config.build()
    assert isinstance(model, Layers)
    return model


class TestInitialization:
    @pytest.mark.parametrize(
        ("name", "variances"),
        [
            ("random", [0.01, 0.01, 0.01]),
            ("he", [2 / 200, 2 / 400, 2 / 100]),
            ("xavier", [2 / (200 + 1600), 2 / (400 + 100), 2 / (100 + 400)]),
            ("zero", [0, 0, 0]),
        ],
    )
    def test_weights_have_the_variance_of_their_name(
        self, name: str, variances: list[float]
    ) -> None:
        model = initialized(name)
        weights = [model.convolution.weight, model.linear.weight, model.without_bias.weight]
        for weight, variance in zip(weights, variances, strict=True):
            assert weight.var().item() == pytest.approx(variance, rel=0.05)
            assert weight.mean().item() == pytest.approx(0, abs=4 * (variance / 40_000) ** 0.5)

    @pytest.mark.parametrize("name", ["random", "he", "xavier", "zero"])
    def test_biases_are_0_and_norms_stay_as_they_are(self, name: str) -> None:
        model = initialized(name)
        for layer in (model.convolution, model.linear):
            assert layer.bias is not None
            assert torch.equal(layer.bias, torch.zeros_like(layer.bias))
        assert torch.equal(model.norm.weight, torch.ones(64))

    def test_the_default_is_torchs_own(self) -> None:
        torch.manual_seed(0)
        expected = Layers().state_dict()
        found = initialized("default").state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)

    @pytest.mark.parametrize("name", ["random", "he", "xavier"])
    def test_the_seed_decides_what_is_drawn(self, name: str) -> None:
        one, again, other = (initialized(name, seed).linear.weight for seed in (0, 0, 1))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)


NAN, INF = math.nan, math.inf


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("optimizer", ["lbfgs", "Adam", 1, True, None, ["adam"]]),
        ("learning_rate", [-0.1, NAN, INF, "fast", True, None]),
        ("weight_decay", [-1e-9, NAN, INF, "0.1", False]),
        ("momentum", [0, 0.0, 1, 1.0, -0.5, NAN, "0.9", True]),
        ("schedule", ["linear", None, 0]),
        ("decay", [-0.1, NAN, INF, "slow"]),
        ("initialization", ["kaiming", None]),
        ("loss", ["hinge", 1, False]),
        ("label_smoothing", [-0.1, 1.1, NAN, "much"]),
        ("aux_weight", [-1, NAN, INF, None]),
        ("aux_balance", [-0.1, 1.1, NAN, None]),
        ("asymmetry_weight", [-1, NAN, INF, "a"]),
    ],
)
def test_a_bad_value_is_one_line_that_begins_with_its_name(name: str, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InputError) as caught:
            fit(**{name: value})
        message = str(caught.value)
        assert message.startswith(f"{name}: should be ")
        assert message.endswith(f", but it is {value!r}")
        assert "\n" not in message


def test_the_ends_of_the_ranges_are_allowed() -> None:
    low: dict[str, Any] = dict.fromkeys(
        ("learning_rate", "weight_decay", "decay", "label_smoothing", "aux_weight"), 0
    )
    assert fit(**low, aux_balance=0, asymmetry_weight=0).learning_rate == 0
    assert fit(label_smoothing=1, aux_balance=1, momentum=0.999).aux_balance == 1


def test_the_defaults_that_are_listed_are_those_that_are_used() -> None:
    assert defaults() == fit().model_dump()
