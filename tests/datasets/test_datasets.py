"""Data sets: what every one promises, how pairs and points are drawn, what the pools hold."""

import gzip
import math
import os
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hpo.datasets import DataSet, Examples, disk, fetch, is_here, load_dataset
from hpo.datasets.digits import enlarge
from hpo.datasets.mnist import shrink
from hpo.datasets.pairs import PairDataSet, Pool
from hpo.errors import InputError
from hpo.registry import Registry


needs_mnist = pytest.mark.skipif(
    not os.environ.get("HPO_DATA_DIR"), reason="HPO_DATA_DIR names no folder with MNIST"
)
FINGERPRINTS = {
    "mnist": "2bc79462c36e7473214669e33ea968bbf7401bccba2819fbe3fef34247e876be",
    "digits": "8db1c6d723c69179b8b3a15e6a75c114930c96af05b28bdd769122a0763c75d6",
    "disk": "207096532d1b4f955b0adbe3709ad3d2dadcc3ac4896ccace54d0dd69bc422fa",
}


def same(one: Examples, other: Examples) -> bool:
    """Equal bit for bit."""
    pairs = zip(tensors(one), tensors(other), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


def tensors(examples: Examples) -> list[Tensor]:
    auxiliary = [] if examples.auxiliary is None else [examples.auxiliary]
    return [examples.inputs, examples.targets, *auxiliary]


def made(n_train: int = 60, n_test: int = 40, first: int = 0) -> PairDataSet:
    """Image i is one pixel of value i, its digit is i modulo 10; test images follow on."""
    values = torch.arange(first, first + n_train + n_test, dtype=torch.uint8)
    images, digits = values.reshape(-1, 1, 1), values % 10
    train = Pool(images[:n_train], digits[:n_train])
    test = Pool(images[n_train:], digits[n_train:])
    return PairDataSet("made", train, test, Tensor.float, 20, 10)


@pytest.fixture(params=[pytest.param("mnist", marks=needs_mnist), "digits", "disk", "made"])
def dataset(request: pytest.FixtureRequest) -> DataSet:
    name: str = request.param
    return made() if name == "made" else load_dataset(name)


class TestEveryDataSet:
    def test_a_draw_has_the_size_and_types_that_are_promised(self, dataset: DataSet) -> None:
        for examples in (dataset.draw_train(7, 0), dataset.draw_test(7, 0)):
            assert len(examples) == len(examples.inputs) == 7
            assert examples.inputs.dtype == torch.float32
            assert examples.targets.dtype == torch.int64
            assert examples.targets.shape == (7,)
            assert (examples.auxiliary is None) == (dataset.name == "disk")
            if examples.auxiliary is not None:
                assert examples.auxiliary.dtype == torch.int64
                assert examples.auxiliary.shape[0] == 7

    def test_one_seed_draws_the_same_whatever_was_drawn_before(self, dataset: DataSet) -> None:
        torch.manual_seed(1)
        first = dataset.draw_train(9, 5)
        torch.manual_seed(2)
        dataset.draw_test(3, 5)
        assert same(first, dataset.draw_train(9, 5))

    def test_a_draw_leaves_the_generator_of_the_process_alone(self, dataset: DataSet) -> None:
        before = torch.get_rng_state()
        dataset.draw_train(9, 5)
        assert torch.equal(before, torch.get_rng_state())

    def test_other_seeds_draw_other_examples(self, dataset: DataSet) -> None:
        for draw in (dataset.draw_train, dataset.draw_test):
            assert not same(draw(15, 0), draw(15, 1))
            assert not same(draw(15, 0), draw(15, -1))

    def test_changing_a_draw_does_not_change_the_next(self, dataset: DataSet) -> None:
        first = dataset.draw_train(5, 0)
        untouched = first.subset(torch.arange(5))
        for tensor in tensors(first):
            tensor.zero_()
        assert same(untouched, dataset.draw_train(5, 0))

    def test_sizes_outside_the_pool_name_the_limit(self, dataset: DataSet) -> None:
        limits = [
            (dataset.draw_train, "training", dataset.max_train_size),
            (dataset.draw_test, "test", dataset.max_test_size),
        ]
        for draw, part, most in limits:
            for n in (0, -1, most + 1):
                with pytest.raises(
                    InputError, match=rf"^{n} {part} .*{dataset.name}.* 1 to {most} "
                ):
                    draw(n, 0)

    def test_the_largest_and_the_default_sizes_can_be_drawn(self, dataset: DataSet) -> None:
        assert len(dataset.draw_test(dataset.max_test_size, 0)) == dataset.max_test_size
        assert 1 <= dataset.default_train_size <= dataset.max_train_size
        assert 1 <= dataset.default_test_size <= dataset.max_test_size


class TestPairs:
    def test_each_image_is_used_once_with_its_own_digit(self) -> None:
        train, test = made().draw_train(30, 3), made().draw_test(20, 3)
        assert sorted(train.inputs.flatten().tolist()) == list(range(60))
        assert sorted(test.inputs.flatten().tolist()) == list(range(60, 100))
        for examples in (train, test):
            assert examples.auxiliary is not None
            assert torch.equal(examples.inputs.flatten(1).long() % 10, examples.auxiliary)

    def test_the_target_is_whether_the_first_digit_is_no_higher(self) -> None:
        examples = made().draw_train(30, 0)
        assert examples.auxiliary is not None
        expected = [int(first <= second) for first, second in examples.auxiliary.tolist()]
        assert examples.targets.tolist() == expected
        assert {0, 1} == set(expected)

    def test_one_seed_draws_training_and_test_data_apart(self) -> None:
        both = made(n_train=50, n_test=50)
        train, test = both.draw_train(25, 8).inputs, both.draw_test(25, 8).inputs
        assert not torch.equal(train, test - 50)

    def test_data_sets_of_other_names_draw_by_other_numbers(self) -> None:
        one, pool = made(), made().train_pool
        other = PairDataSet("other", pool, one.test_pool, Tensor.float, 20, 10)
        assert not same(one.draw_train(20, 0), other.draw_train(20, 0))

    def test_the_fingerprint_follows_images_digits_and_split(self) -> None:
        one = made()
        train, test = one.train_pool, one.test_pool
        relabelled = Pool(train.images, (train.digits + 1) % 10)
        variants = [
            made(first=1),
            made(n_train=50, n_test=50),
            PairDataSet("made", relabelled, test, Tensor.float, 20, 10),
            PairDataSet("made", test, train, Tensor.float, 20, 10),
        ]
        fingerprints = {data.fingerprint() for data in [one, *variants]}
        assert len(fingerprints) == 5
        assert one.fingerprint() == made().fingerprint()


class TestExamples:
    def test_a_subset_keeps_examples_together_and_in_order(self) -> None:
        examples = made().draw_train(10, 0)
        part = examples.subset(torch.tensor([7, 2]))
        assert len(part) == 2
        for whole, chosen in zip(tensors(examples), tensors(part), strict=True):
            assert torch.equal(chosen, torch.stack([whole[7], whole[2]]))

    def test_examples_may_lack_auxiliary_targets(self) -> None:
        points = Examples(torch.rand(5, 2), torch.tensor([0, 3, 1, 2, 4]))
        assert points.subset(torch.tensor([1])).targets.tolist() == [3]
        assert points.subset(torch.tensor([1])).auxiliary is None
        assert points.to("cpu").auxiliary is None

    @pytest.mark.parametrize("shape", [(5,), (5, 3)])
    def test_targets_may_be_numbers(self, shape: tuple[int, ...]) -> None:
        numbers = Examples(torch.rand(5, 2), torch.rand(shape))
        assert len(numbers) == 5
        part = numbers.subset(torch.tensor([4, 0])).targets
        assert torch.equal(part, torch.stack([numbers.targets[4], numbers.targets[0]]))
        assert part.dtype == torch.float32

    def test_to_moves_every_tensor(self) -> None:
        moved = made().draw_train(4, 0).to("meta")
        assert {tensor.device.type for tensor in tensors(moved)} == {"meta"}


class TestDigits:
    def test_pools_are_disjoint_and_together_all_images(self) -> None:
        train = load_dataset("digits").draw_train(600, 0).inputs.reshape(-1, 14 * 14)
        test = load_dataset("digits").draw_test(298, 0).inputs.reshape(-1, 14 * 14)
        distinct = {tuple(image) for image in torch.cat([train, test]).tolist()}
        assert len(train) + len(test) == 1796
        assert len(distinct) == 1796

    def test_sizes(self) -> None:
        digits = load_dataset("digits")
        assert (digits.default_train_size, digits.default_test_size) == (600, 290)
        assert (digits.max_train_size, digits.max_test_size) == (600, 298)
        assert digits.task == "digit pairs"

    def test_data_are_the_same_in_every_process_and_release(self) -> None:
        assert load_dataset("digits").fingerprint() == FINGERPRINTS["digits"]
        drawn = load_dataset("digits").draw_train(4, seed=0)
        assert drawn.auxiliary is not None
        assert drawn.auxiliary.tolist() == [[6, 4], [8, 7], [6, 2], [3, 4]]

    def test_about_as_many_pairs_are_in_order_as_chance_says(self) -> None:
        share = load_dataset("digits").draw_train(600, 0).targets.float().mean().item()
        assert share == pytest.approx(0.55, abs=0.07)

    def test_enlarging_keeps_range_orientation_and_constant_images(self) -> None:
        image = torch.zeros(2, 8, 8, dtype=torch.uint8)
        image[0, 0, 7], image[1] = 16, 8
        corner, constant = enlarge(image)
        assert corner.shape == (14, 14)
        assert corner.argmax().item() == 13
        assert corner.max().item() == pytest.approx(1.0)
        assert torch.allclose(constant, torch.full((14, 14), 0.5))


class TestMnist:
    def test_shrinking_takes_the_mean_of_each_two_by_two(self) -> None:
        image = torch.zeros(1, 28, 28, dtype=torch.uint8)
        image[0, 0:2, 2:4] = torch.tensor([[255, 51], [102, 0]])
        image[0, 26:28, 0:2] = 255
        small = shrink(image)
        expected = torch.zeros(1, 14, 14)
        expected[0, 0, 1], expected[0, 13, 0] = 0.4, 1.0
        assert torch.allclose(small, expected)

    @needs_mnist
    def test_data_are_those_of_earlier_releases(self) -> None:
        assert load_dataset("mnist").fingerprint() == FINGERPRINTS["mnist"]

    @needs_mnist
    def test_sizes_shapes_and_range(self) -> None:
        mnist = load_dataset("mnist")
        assert (mnist.default_train_size, mnist.default_test_size) == (1000, 1000)
        assert (mnist.max_train_size, mnist.max_test_size) == (30_000, 5_000)
        examples = mnist.draw_train(1000, 0)
        assert examples.inputs.shape == (1000, 2, 14, 14)
        assert (examples.inputs.min().item(), examples.inputs.max().item()) == (0.0, 1.0)
        assert examples.targets.float().mean().item() == pytest.approx(0.55, abs=0.05)

    @needs_mnist
    def test_a_full_test_draw_holds_every_test_digit(self) -> None:
        folder = fetch("mnist")
        assert folder is not None
        labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
        drawn = load_dataset("mnist").draw_test(5_000, 0).auxiliary
        assert drawn is not None
        assert drawn.flatten().bincount().tolist() == [labels.count(digit) for digit in range(10)]


class TestDisk:
    def test_a_point_is_1_inside_the_disk_and_0_outside(self) -> None:
        points = load_dataset("disk").draw_train(20_000, 0)
        distances = (points.inputs.double() - 0.5).norm(dim=1)
        assert torch.equal(points.targets == 1, distances < 1 / math.sqrt(2 * math.pi))

    @pytest.mark.parametrize("seed", range(3))
    def test_about_half_of_the_points_are_inside(self, seed: int) -> None:
        for examples in (
            load_dataset("disk").draw_train(20_000, seed),
            load_dataset("disk").draw_test(20_000, seed),
        ):
            assert examples.targets.float().mean().item() == pytest.approx(0.5, abs=0.02)

    def test_points_fill_the_unit_square_evenly(self) -> None:
        points = load_dataset("disk").draw_train(20_000, 0).inputs
        assert 0 <= points.min().item() < 0.001
        assert 0.999 < points.max().item() <= 1
        column, row = (points * 4).long().clamp(max=3).T
        shares = (4 * column + row).bincount(minlength=16) / len(points)
        assert shares.tolist() == pytest.approx([1 / 16] * 16, abs=0.01)

    def test_training_and_test_points_never_meet(self) -> None:
        both = load_dataset("disk").draw_train(5_000, 0), load_dataset("disk").draw_test(5_000, 0)
        train, test = ((examples.inputs[:, 0] * 2**24).long() % 2 for examples in both)
        assert set(train.tolist()) == {0}  # the places that one part takes, the other cannot
        assert set(test.tolist()) == {1}

    def test_one_seed_draws_training_and_test_data_apart(self) -> None:
        train, test = (
            load_dataset("disk").draw_train(9, 4).inputs,
            load_dataset("disk").draw_test(9, 4).inputs,
        )
        assert not torch.allclose(train, test, atol=1e-3)

    def test_sizes(self) -> None:
        points = load_dataset("disk")
        assert (points.default_train_size, points.default_test_size) == (1000, 1000)
        assert points.max_train_size == points.max_test_size == 1_000_000
        assert points.task == "disk"

    def test_data_are_the_same_in_every_process_and_release(self) -> None:
        assert load_dataset("disk").fingerprint() == FINGERPRINTS["disk"]
        drawn = load_dataset("disk").draw_train(3, seed=0)
        assert (drawn.inputs * 2**24).tolist() == [
            [7201730, 4665901],
            [15686958, 15927813],
            [1340346, 6091926],
        ]
        assert drawn.targets.tolist() == [1, 0, 0]

    @pytest.mark.parametrize("rule", ["STEPS", "RADIUS_SQUARED"])
    def test_the_fingerprint_follows_the_rule(
        self, rule: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(disk, rule, getattr(disk, rule) + 2)
        assert disk.make().fingerprint() != FINGERPRINTS["disk"]


def test_data_sets_are_made_once_a_process() -> None:
    assert load_dataset("digits") is load_dataset("digits")


def test_an_unknown_name_is_an_input_error_that_lists_near_ones() -> None:
    for function in (load_dataset, fetch):
        with pytest.raises(InputError, match="no data set named 'mnits'; did you mean mnist"):
            function("mnits")


def test_a_data_set_of_a_users_own_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "made by a test"
    registry: Registry[Callable[[], DataSet]] = Registry("data set")
    monkeypatch.setattr("hpo.datasets.datasets", registry)  # entries stay for good, so not in ours
    registry.add(name, made)
    assert load_dataset(name).max_train_size == 30
    assert fetch(name) is None


@pytest.mark.parametrize("name", ["digits", "disk"])
def test_what_is_at_hand_needs_no_files(name: str) -> None:
    assert is_here(name)
    assert fetch(name) is None
