"""One training: repeatable bit for bit, standardized by its training part, honest when it fails."""

from typing import Any

import pytest
import torch
from torch import nn

from hpo.architectures import Architecture, Outputs, architectures
from hpo.datasets import Examples, load_dataset
from hpo.errors import InputError
from hpo.machine import find_device
from hpo.settings import Precision
from hpo.training.config import TrainingConfig
from hpo.training.fit import DivergedError, Training, batches, evaluate, outputs_of, repeatable
from hpo.training.split import Split, Standardize


CPU = torch.device("cpu")
SMALL = {"channels": [4, 8, 8], "learning_rate": 0.01, "dropout": 0.3}


def examples(n: int = 60, seed: int = 0) -> Examples:
    return load_dataset("digits").draw_train(n, seed)


def held_out(n: int = 50, seed: int = 0) -> Examples:
    return load_dataset("digits").draw_test(n, seed)


def split(n: int = 60) -> Split:
    return Split.of(examples(n), held_out(), CPU)


def config(batch_size: int = 16, precision: Precision = "float32", **params: Any) -> TrainingConfig:
    return TrainingConfig(
        architecture=architectures.get("siamese"),
        params=SMALL | params,
        epochs=3,
        batch_size=batch_size,
        precision=precision,
    )


def start(*seed: str | int, of: TrainingConfig | None = None, on: Split | None = None) -> Training:
    return Training(of or config(), on or split(), CPU, seed or ("a", 1))


def run(training: Training, n_epochs: int = 3) -> list[float]:
    for _ in range(n_epochs):
        training.run_epoch()
    return training.curve


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [each.clone() for each in model.state_dict().values()]


def same(one: nn.Module, other: nn.Module) -> bool:
    """Equal bit for bit, the buffers of BatchNorm among it."""
    return all(
        torch.equal(mine, theirs) for mine, theirs in zip(weights(one), weights(other), strict=True)
    )


class TestPrecision:
    def test_bfloat16_computes_nothing_but_the_training_pass(self) -> None:
        kinds = {}
        for precision in ("float32", "bfloat16"):
            seen: dict[bool, set[torch.dtype]] = {True: set(), False: set()}
            training = start(of=config(precision=precision))
            for layer in training.model.modules():
                if isinstance(layer, (nn.Linear, nn.Conv2d)):
                    layer.register_forward_hook(
                        lambda layer, _, out, seen=seen: seen[layer.training].add(out.dtype)
                    )
            training.run_epoch()
            kinds[precision] = seen
            assert {weight.dtype for weight in training.model.parameters()} == {torch.float32}
        assert kinds["float32"] == {True: {torch.float32}, False: {torch.float32}}
        assert kinds["bfloat16"] == {True: {torch.bfloat16}, False: {torch.float32}}

    def test_a_loss_gets_float32_whatever_the_layers_compute_in(self) -> None:
        seen = set()

        def loss(outputs: Outputs, batch: Examples) -> torch.Tensor:
            seen.update({each.dtype for each in outputs if each is not None})
            return outputs.logits.square().mean()

        entry = Architecture(build=architectures.get("siamese").build, loss=loss)
        of = TrainingConfig(
            architecture=entry, params={}, epochs=1, batch_size=16, precision="bfloat16"
        )
        start(of=of).run_epoch()
        assert seen == {torch.float32}

    def test_bfloat16_repeats_bit_for_bit_and_differs(self) -> None:
        one, again = (start(of=config(precision="bfloat16")) for _ in range(2))
        run(one), run(again)
        assert same(one.model, again.model)
        other = start()
        run(other)
        assert not same(one.model, other.model)


class TestBatches:
    @pytest.mark.parametrize(
        ("n", "size", "sizes"),
        [
            (10, 5, [5, 5]),
            (11, 5, [5, 6]),
            (12, 5, [5, 5, 2]),
            (9, 5, [5, 4]),
            (3, 5, [3]),
            (6, 5, [6]),
            (3, 2, [3]),
            (1, 5, [1]),
        ],
    )
    def test_a_last_batch_of_one_joins_the_one_before(
        self, n: int, size: int, sizes: list[int]
    ) -> None:
        assert [len(batch) for batch in batches(n, size)] == sizes

    def test_each_example_is_in_one_batch_in_a_random_order(self) -> None:
        torch.manual_seed(0)
        order = torch.cat(list(batches(101, 10)))
        assert sorted(order.tolist()) == list(range(101))
        assert order.tolist() != list(range(101))
        assert not torch.equal(order, torch.cat(list(batches(101, 10))))

    def test_a_network_with_batch_norm_trains_where_one_is_left_over(self) -> None:
        assert len(run(start(of=config(batch_size=20), on=split(61)))) == 3


class TestRepeatability:
    def test_one_seed_gives_the_same_curve_and_network_bit_for_bit(self) -> None:
        one, other = start("a", 1), start("a", 1)
        assert run(one) == run(other)
        assert same(one.model, other.model)

    @pytest.mark.parametrize("seed", [("a", 2), ("b", 1), ("a", 1, 0)])
    def test_another_seed_gives_another_network(self, seed: tuple[str | int, ...]) -> None:
        one, other = start("a", 1), start(*seed)
        assert not same(one.model, other.model), "the initialization is another"
        run(one)
        run(other)
        assert not same(one.model, other.model)

    def test_the_global_generator_does_not_matter(self) -> None:
        torch.manual_seed(1)
        one = start()
        run(one)
        torch.manual_seed(2)
        other = start()
        for _ in range(3):
            torch.rand(17)
            other.run_epoch()
        assert one.curve == other.curve
        assert same(one.model, other.model)

    def test_other_trainings_in_between_do_not_matter(self) -> None:
        alone, beside, other = start("a", 1), start("a", 1), start("a", 2)
        run(alone)
        for _ in range(3):
            beside.run_epoch()
            other.run_epoch()
        assert same(alone.model, beside.model)
        assert alone.curve == beside.curve

    def test_epochs_are_shuffled_differently(self) -> None:
        """With no learning, what BatchNorm saw last tells the order."""
        training = start(of=config(learning_rate=0.0, dropout=0.0, batch_size=10))
        seen = []
        for _ in range(2):
            training.run_epoch()
            seen.append([norm.running_mean.clone() for norm in norms(training.model)])
            for norm in norms(training.model):
                norm.reset_running_stats()
        assert not torch.allclose(seen[0][0], seen[1][0], rtol=1e-6, atol=0)

    def test_evaluation_changes_nothing_of_what_follows(self) -> None:
        plain, watched = start(), start()
        for _ in range(3):
            plain.run_epoch()
            watched.run_epoch()
            before = weights(watched.model)
            generator = torch.get_rng_state()
            evaluate(watched.model, held_out(200, seed=3))
            assert torch.equal(generator, torch.get_rng_state())
            after = weights(watched.model)
            assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert same(plain.model, watched.model)

    def test_the_held_out_examples_do_not_change_the_training(self) -> None:
        one = start()
        other = start(on=Split.of(examples(), held_out(seed=9), CPU))
        run(one)
        run(other)
        assert same(one.model, other.model)


def test_a_network_of_volumes_trains() -> None:
    """Their weights have five dimensions, which channels last is not for."""

    def build(width: int = 4) -> nn.Module:
        return nn.Sequential(
            nn.Conv3d(1, width, kernel_size=3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * width, 2)
        )

    inputs = torch.randn(40, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    drawn = Examples(inputs, (inputs.mean(dim=(1, 2, 3, 4)) > 0).long())
    entry = Architecture(build=build)
    of = TrainingConfig(architecture=entry, params={"learning_rate": 0.01}, epochs=20, batch_size=8)
    curve = run(start(of=of, on=Split.of(drawn, drawn, CPU)), 20)
    assert curve[-1] < 0.1 < curve[0]


def norms(model: nn.Module) -> list[Any]:
    return [each for each in model.modules() if isinstance(each, nn.BatchNorm1d)]


class TestStandardization:
    def test_the_training_part_alone_decides(self) -> None:
        one = Split.of(examples(), held_out(), CPU)
        far = Examples(held_out().inputs * 100 + 7, held_out().targets, held_out().auxiliary)
        other = Split.of(examples(), far, CPU)
        assert torch.equal(one.train.inputs, other.train.inputs)
        assert torch.equal(one.standardize.mean, other.standardize.mean)
        assert torch.equal(one.standardize.std, other.standardize.std)

    def test_the_training_part_has_mean_0_and_deviation_1(self) -> None:
        made = split()
        assert made.train.inputs.mean().item() == pytest.approx(0, abs=1e-5)
        assert made.train.inputs.std().item() == pytest.approx(1, abs=1e-5)

    def test_the_held_out_part_is_moved_by_the_same_numbers(self) -> None:
        made, raw = split(), examples().inputs
        expected = (held_out().inputs - raw.mean()) / raw.std()
        assert torch.allclose(made.held_out.inputs, expected, atol=1e-6)
        assert made.held_out.inputs.mean().abs() > 1e-4, "not by its own"

    def test_images_and_labels_stay_together(self) -> None:
        made = split()
        assert torch.equal(made.train.targets, examples().targets)
        assert made.train.auxiliary is not None
        assert torch.equal(made.held_out.targets, held_out().targets)

    @pytest.mark.parametrize("value", [0.0, 0.5])
    def test_constant_images_become_0_and_not_nan(self, value: float) -> None:
        inputs = torch.full((20, 2, 14, 14), value)
        assert torch.equal(Standardize.of(inputs)(inputs), torch.zeros_like(inputs))
        digits = torch.zeros(20, 2, dtype=torch.int64)
        constant = Examples(inputs, torch.arange(20) % 2, digits)
        curve = run(start(on=Split.of(constant, constant, CPU)))
        assert all(0 <= error <= 1 for error in curve)

    def test_features_of_a_table_are_standardized_one_by_one(self) -> None:
        table = torch.randn(50, 3) * torch.tensor([1.0, 10.0, 100.0]) + torch.tensor([0.0, 5, -7])
        made = Standardize.of(table)
        assert made.mean.shape == made.std.shape == (3,)
        assert torch.allclose(made(table).mean(dim=0), torch.zeros(3), atol=1e-5)
        assert torch.allclose(made(table).std(dim=0), torch.ones(3), atol=1e-5)
        other = torch.ones(4, 3)
        assert torch.allclose(made(other), (other - table.mean(dim=0)) / table.std(dim=0))

    def test_a_feature_that_never_changes_becomes_0(self) -> None:
        table = torch.stack([torch.randn(20), torch.full((20,), 3.0)], dim=1)
        made = Standardize.of(table)(table)
        assert torch.equal(made[:, 1], torch.zeros(20))
        assert made.isfinite().all()

    @pytest.mark.parametrize("shape", [(30, 2, 14, 14), (30, 3, 8, 8), (30, 40)])
    def test_images_have_one_number_and_only_tables_several(self, shape: tuple[int, ...]) -> None:
        made = Standardize.of(torch.randn(shape))
        assert made.mean.shape == made.std.shape == (shape[1:] if len(shape) == 2 else ())

    def test_whole_numbers_stay_as_they_are(self) -> None:
        words = torch.randint(0, 1000, (20, 5))
        data = Examples(words, torch.arange(20) % 2)
        made = Split.of(data, data, CPU)
        assert torch.equal(made.train.inputs, words)
        assert made.train.inputs.dtype == torch.int64
        assert torch.equal(made.standardize(words + 1), words + 1)
        assert (made.standardize.mean.item(), made.standardize.std.item()) == (0.0, 1.0)

    def test_it_is_kept_with_the_weights_of_a_network(self) -> None:
        made = Standardize.of(torch.randn(30, 4) * 5)
        loaded = Standardize(torch.zeros(4), torch.ones(4))
        loaded.load_state_dict(made.state_dict())
        inputs = torch.randn(3, 4)
        assert torch.equal(loaded(inputs), made(inputs))


class TestAugmentation:
    def test_each_epoch_moves_pairs_anew_and_alike_for_a_seed(self) -> None:
        def curve(shift: float) -> tuple[list[float], float]:
            training = start(of=config(shift=shift, repair=True))
            run(training)
            return training.curve, next(training.model.parameters()).sum().item()

        assert curve(1.0) == curve(1.0)
        assert curve(1.0)[1] != curve(2.0)[1]


class TestErrors:
    def test_an_epoch_gives_the_share_of_wrong_answers(self) -> None:
        training = start()
        error = training.run_epoch()
        assert training.curve == [error]
        data = split().held_out
        answers = training.model.eval()(data.inputs).logits.argmax(dim=1)
        assert error == (answers != data.targets).double().mean().item()
        assert training.train_s > 0

    def test_evaluation_in_blocks_counts_every_example_once(self) -> None:
        model = start().model
        data = Split.of(examples(), load_dataset("digits").draw_train(600, 1), CPU).held_out
        answers = model.eval()(data.inputs).logits.argmax(dim=1)
        assert evaluate(model, data) == pytest.approx(
            (answers != data.targets).double().mean().item()
        )

    def test_training_learns(self) -> None:
        easy = Split.of(load_dataset("digits").draw_train(600, 0), held_out(250), CPU)
        params: dict[str, Any] = {"channels": [16, 32, 64], "learning_rate": 0.005, "dropout": 0.0}
        training = start(of=config(batch_size=50, **params), on=easy)
        run(training, 8)
        assert training.curve[-1] < 0.25

    def test_a_loss_that_is_no_number_is_told_with_its_epoch(self) -> None:
        training = start(of=config(learning_rate=1e30))
        with pytest.raises(DivergedError, match=r"^the loss became (nan|inf) in epoch 1$"):
            run(training)
        assert training.curve == []


class TestDevice:
    def test_the_cpu_is_chosen_where_there_is_no_other(self) -> None:
        expected = "cuda" if torch.cuda.is_available() else "cpu"
        assert find_device("auto").type == expected
        assert find_device("cpu").type == "cpu"

    @pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
    def test_a_device_that_is_not_there_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"device: no CUDA device .* use cpu or auto"):
            find_device("cuda")


def test_trainings_leave_the_process_s_threads_as_they_were() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    smallest = torch.tensor([1e-45])
    with repeatable():
        assert torch.get_num_threads() == 1
        assert (smallest * 1).item() == 0.0
    assert torch.get_num_threads() == 2
    assert (smallest * 1).item() > 0.0
    torch.set_num_threads(before)


ONE = torch.ones(2, 2)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ((ONE, ONE), "returns a tuple of Tensor, Tensor; it should return a torch tensor, or"),
        ([ONE, None], "returns a list of Tensor, NoneType; "),
        ({"answer": ONE}, "returns a dict; "),
        (None, "returns None; "),
        (ONE.numpy(), "returns a ndarray; .* as hpo.Outputs"),
        (Outputs(ONE, auxiliary=(ONE, ONE)), "hpo.Outputs whose auxiliary is a tuple of Tensor, "),  # type: ignore[arg-type]
        (Outputs(None), "hpo.Outputs whose logits is None; "),  # type: ignore[arg-type]
    ],
)
def test_an_answer_of_another_type_is_refused(returned: Any, says: str) -> None:
    with pytest.raises(InputError, match=f"the network returns .*{says.removeprefix('returns ')}"):
        outputs_of(lambda inputs: returned, ONE)
