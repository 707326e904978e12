"""Numbers in place of classes; a loss, an error and an augmentation of a user's own."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture, Outputs
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training
from hpo.training.split import Split


CPU = torch.device("cpu")


def line(*, width: int = 1) -> nn.Module:
    """A network of a user's own that gives a plain tensor."""
    return nn.Linear(3, width)


WEIGHTS = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-4.0, 1.0]])


def numbers(n: int = 200, shape: str = "N", noise: float = 0.0) -> Examples:
    """A table [N, 3] and numbers [N], [N, 1] or [N, 2] that are linear in it."""
    generator = torch.Generator().manual_seed(n)
    inputs = torch.randn(n, 3, generator=generator) * 10 + 3
    targets = inputs @ WEIGHTS + 5 + noise * torch.randn(n, 2, generator=generator)
    return Examples(inputs, {"N": targets[:, 0], "N1": targets[:, :1], "N2": targets}[shape])


def regression(on: Split, width: int = 1, **params: Any) -> Training:
    config = TrainingConfig(
        architecture=Architecture(build=line),
        params={"learning_rate": 0.1, "optimizer": "sgd", "width": width} | params,
        epochs=30,
        batch_size=20,
    )
    return Training(config, on, CPU, ("numbers",))


def run(training: Training, n_epochs: int) -> list[float]:
    for _ in range(n_epochs):
        training.run_epoch()
    return training.curve


class TestNumbers:
    @pytest.mark.parametrize(("shape", "width"), [("N", 1), ("N1", 1), ("N2", 2)])
    def test_a_line_is_learned_to_the_last_bit_of_variance(self, shape: str, width: int) -> None:
        on = Split.of(numbers(200, shape), numbers(100, shape), CPU)
        curve = run(regression(on, width), 30)
        assert curve[0] > 1e-3
        assert curve[-1] < 1e-6

    def test_the_error_is_the_unexplained_variance(self) -> None:
        on = Split.of(numbers(noise=30.0), numbers(100, noise=30.0), CPU)
        training = regression(on)
        error = training.run_epoch()
        answers, targets = training.model(on.held_out.inputs)[:, 0], on.held_out.targets
        expected = ((answers - targets) ** 2).mean() / targets.var(correction=0)
        assert error == pytest.approx(expected.item(), rel=1e-5)
        assert 0.1 < error < 1.1

    @pytest.mark.parametrize("as_tensor", [True, False])
    def test_an_error_function_of_its_own_is_used(self, as_tensor: bool) -> None:
        def farthest(answers: Tensor, targets: Tensor) -> Any:
            found = (answers[:, 0] - targets).abs().max()
            return found if as_tensor else found.item()

        on = Split.of(numbers(), numbers(100), CPU, farthest)
        training = regression(on)
        error = training.run_epoch()
        answers = training.model(on.held_out.inputs)
        assert error == farthest(answers, on.held_out.targets)
        assert type(error) is float
        assert training.curve == [error]

    def test_a_loss_for_classes_is_refused(self) -> None:
        on = Split.of(numbers(), numbers(100), CPU)
        with pytest.raises(InputError, match=r"^loss: cross_entropy is for classes"):
            regression(on, loss="cross_entropy")

    def test_an_error_that_is_no_number_is_told_with_its_epoch(self) -> None:
        on = Split.of(numbers(), numbers(100), CPU, lambda answers, targets: float("nan"))
        with pytest.raises(DivergedError, match=r"^the error became nan in epoch 1$"):
            regression(on).run_epoch()

    def test_they_are_repeated_bit_for_bit(self) -> None:
        on = Split.of(numbers(noise=3.0), numbers(100), CPU)
        one, other = regression(on, schedule="one_cycle"), regression(on, schedule="one_cycle")
        assert run(one, 5) == run(other, 5)
        weights = zip(one.model.parameters(), other.model.parameters(), strict=True)
        assert all(torch.equal(mine, theirs) for mine, theirs in weights)


class TestOwnLoss:
    def test_it_is_the_whole_loss_and_sees_outputs_and_batch(self) -> None:
        seen: list[tuple[type, int]] = []

        def loss(outputs: Outputs, batch: Examples) -> Tensor:
            seen.append((type(outputs), len(batch)))
            return outputs.logits.mean()

        config = TrainingConfig(
            architecture=Architecture(build=line, loss=loss),
            params={"optimizer": "sgd", "learning_rate": 1.0},
            epochs=1,
            batch_size=50,
        )
        training = Training(config, Split.of(numbers(), numbers(100), CPU), CPU, ("own",))
        assert isinstance(training.model, nn.Linear)
        before = training.model.bias.item()
        training.run_epoch()
        assert seen == [(Outputs, 50)] * 4
        assert training.model.bias.item() == pytest.approx(before - 4, rel=1e-5)


class TestAugmentation:
    def test_each_epoch_augments_the_first_examples_anew(self) -> None:
        seen: list[Tensor] = []

        def augment(examples: Examples, *, shift: float = 0.0) -> Examples:
            seen.append(examples.inputs)
            return Examples(examples.inputs + shift, examples.targets)

        def loss(outputs: Outputs, batch: Examples) -> Tensor:
            fed.append(batch.inputs.mean().item())
            return outputs.logits.square().mean()

        fed: list[float] = []
        on = Split.of(numbers(), numbers(100), CPU)
        config = TrainingConfig(
            architecture=Architecture(build=line, loss=loss, augment=augment),
            params={"shift": 4.0},
            epochs=2,
            batch_size=200,
        )
        run(Training(config, on, CPU, ("augmented",)), 2)
        assert len(seen) == 2
        assert all(torch.equal(each, on.train.inputs) for each in seen)
        assert fed == pytest.approx([4.0, 4.0], abs=1e-4)
