"""Augmented training pairs: new pairs of the same images, and images moved within their bounds."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpo.datasets import Examples, load_dataset
from hpo.datasets.augmentation import augment_pairs
from hpo.errors import InputError


SIZE = 14
MIDDLE = (SIZE - 1) / 2
EVERYTHING = {"repair": True, "shift": 2.0, "rotation": 15.0, "scale": 0.2}


def numbered(n: int = 200) -> Examples:
    """Every pixel of image i is i, its digit is i modulo 10."""
    values = torch.arange(2 * n)
    digits = (values % 10).reshape(n, 2)
    images = values.float().reshape(n, 2, 1, 1).expand(n, 2, SIZE, SIZE).clone()
    return Examples(images, (digits[:, 0] <= digits[:, 1]).long(), digits)


def bright_square(top: int, left: int, n: int = 500, side: int = 2) -> Examples:
    """All images are 0 with a square of 1."""
    images = torch.zeros(n, 2, SIZE, SIZE)
    images[..., top : top + side, left : left + side] = 1
    return Examples(images, torch.ones(n, dtype=torch.int64), torch.zeros(n, 2, dtype=torch.int64))


def centres(examples: Examples) -> Tensor:
    """Centre of mass of each image from its middle, [M, 2]: pixels down and to the right."""
    images = examples.inputs.flatten(0, 1)
    places = torch.arange(SIZE) - MIDDLE
    down = (images.sum(dim=2) * places).sum(dim=1)
    right = (images.sum(dim=1) * places).sum(dim=1)
    return torch.stack([down, right], dim=1) / images.sum(dim=(1, 2)).unsqueeze(1)


def augmented(examples: Examples, **settings: Any) -> Examples:
    torch.manual_seed(0)
    return augment_pairs(examples, **settings)


def auxiliary(examples: Examples) -> Tensor:
    assert examples.auxiliary is not None
    return examples.auxiliary


def same(one: Examples, other: Examples) -> bool:
    return (
        torch.equal(one.inputs, other.inputs)
        and torch.equal(one.targets, other.targets)
        and torch.equal(auxiliary(one), auxiliary(other))
    )


class TestNothingAsked:
    @pytest.mark.parametrize("name", ["digits", "disk"])
    def test_no_augmentation_changes_nothing_and_draws_nothing(self, name: str) -> None:
        examples, state = load_dataset(name).draw_train(5, 0), torch.get_rng_state()
        assert augment_pairs(examples) is examples
        assert augment_pairs(examples, repair=False, shift=0, rotation=0, scale=0) is examples
        assert torch.equal(torch.get_rng_state(), state)


class TestRandomness:
    @pytest.mark.parametrize(
        "settings",
        [EVERYTHING, *({name: value} for name, value in EVERYTHING.items())],
        ids=lambda settings: "+".join(settings),
    )
    def test_each_call_is_new_and_repeats_under_the_global_seed(
        self, settings: dict[str, Any]
    ) -> None:
        examples = load_dataset("digits").draw_train(50, 0)
        torch.manual_seed(3)
        first, second = (augment_pairs(examples, **settings) for _ in range(2))
        assert not same(first, second)
        torch.manual_seed(3)
        assert same(augment_pairs(examples, **settings), first)
        assert same(augment_pairs(examples, **settings), second)

    def test_the_examples_given_stay_as_they_were(self) -> None:
        examples = load_dataset("digits").draw_train(50, 0)
        augmented(examples, **EVERYTHING)
        assert same(examples, load_dataset("digits").draw_train(50, 0))

    def test_another_device_draws_the_same_numbers(self) -> None:
        examples = load_dataset("digits").draw_train(5, 0)
        augmented(examples, **EVERYTHING)
        state = torch.get_rng_state()
        elsewhere = augmented(examples.to("meta"), **EVERYTHING)  # a device without values
        assert torch.equal(torch.get_rng_state(), state)
        assert elsewhere.inputs.shape == examples.inputs.shape
        for tensor in (elsewhere.inputs, elsewhere.targets, auxiliary(elsewhere)):
            assert tensor.device.type == "meta"


class TestNewPairs:
    def test_each_image_is_used_once_with_its_own_digit(self) -> None:
        new = augmented(numbered(), repair=True)
        assert torch.equal(new.inputs.amin(dim=(2, 3)), new.inputs.amax(dim=(2, 3)))
        values = new.inputs[:, :, 0, 0].long()
        assert sorted(values.flatten().tolist()) == list(range(400))
        assert torch.equal(auxiliary(new), values % 10)
        assert auxiliary(new).dtype == torch.int64

    def test_targets_follow_the_new_digits(self) -> None:
        new = augmented(numbered(), repair=True)
        expected = [int(first <= second) for first, second in auxiliary(new).tolist()]
        assert new.targets.tolist() == expected
        assert {0, 1} == set(expected)
        assert new.targets.dtype == torch.int64

    def test_hardly_an_image_keeps_its_partner_or_its_side(self) -> None:
        values = augmented(numbered(), repair=True).inputs[:, :, 0, 0].long()
        assert (values // 2).diff(dim=1).eq(0).float().mean().item() < 0.05
        on_its_side = values % 2 == torch.tensor([0, 1])
        assert on_its_side.float().mean().item() == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize("digits", [None, torch.zeros(3, 1, dtype=torch.int64)])
    def test_examples_without_both_digits_are_refused(self, digits: Tensor | None) -> None:
        examples = Examples(torch.rand(3, 2, SIZE, SIZE), torch.tensor([0, 1, 1]), digits)
        with pytest.raises(InputError, match=r"^repair: .* digits .* leave repair out"):
            augment_pairs(examples, repair=True)
        assert augmented(examples, shift=1.0).auxiliary is digits


class TestMoves:
    def test_a_shift_goes_everywhere_within_its_bound(self) -> None:
        examples = bright_square(6, 6)
        moved = augmented(examples, shift=3.0)
        moves = centres(moved) - centres(examples)
        lengths = moves.norm(dim=1)
        assert lengths.max().item() == pytest.approx(3.0, abs=0.05)
        assert lengths.max().item() < 3.0 + 1e-4
        for down in (False, True):  # as often into each quarter
            for right in (False, True):
                share = ((moves > 0) == torch.tensor([down, right])).all(dim=1).float().mean()
                assert share.item() == pytest.approx(0.25, abs=0.05)

    def test_shifts_are_spread_evenly_over_what_can_be_reached(self) -> None:
        lengths = centres(augmented(bright_square(6, 6), shift=3.0)).norm(dim=1)
        assert (lengths < 1.5).float().mean().item() == pytest.approx(0.25, abs=0.05)

    def test_a_shift_keeps_the_ink_of_each_image(self) -> None:
        moved = augmented(bright_square(6, 6), shift=3.0)
        assert moved.inputs.sum(dim=(2, 3)).flatten().tolist() == pytest.approx([4.0] * 1000)

    def test_a_rotation_turns_both_ways_within_its_angle(self) -> None:
        right_of_middle = bright_square(6, 10)
        down, right = centres(augmented(right_of_middle, rotation=30.0)).T
        angles = torch.atan2(down, right).rad2deg()
        assert angles.max().item() == pytest.approx(30, abs=1)
        assert angles.min().item() == pytest.approx(-30, abs=1)
        assert torch.hypot(down, right).tolist() == pytest.approx([4.0] * 1000, abs=0.1)

    def test_a_scale_changes_sizes_both_ways_about_the_middle(self) -> None:
        examples = bright_square(6, 9, side=3)
        scaled = augmented(examples, scale=0.2)
        ratios = centres(scaled)[:, 1] / centres(examples)[:, 1]
        assert ratios.max().item() == pytest.approx(1.2, abs=0.03)
        assert ratios.min().item() == pytest.approx(0.8, abs=0.03)
        ink = scaled.inputs.sum(dim=(2, 3)).flatten() / 9
        assert torch.allclose(ink, ratios**2, atol=0.12)

    def test_all_at_once_moves_the_middle_by_the_shift_alone(self) -> None:
        moved = augmented(bright_square(6, 6), shift=2.0, rotation=90.0, scale=0.5)
        assert centres(moved).norm(dim=1).max().item() == pytest.approx(2.0, abs=0.2)

    def test_the_two_images_of_a_pair_are_moved_apart(self) -> None:
        one, other = augmented(bright_square(6, 6), shift=3.0).inputs.unbind(1)
        assert not torch.isclose(one, other).all(dim=(1, 2)).any()

    def test_a_background_that_is_not_0_reaches_in_from_the_edge(self) -> None:
        examples = Examples(torch.full((9, 2, SIZE, SIZE), -0.4), torch.ones(9, dtype=torch.int64))
        moved = augmented(examples, shift=5.0, rotation=180.0, scale=0.5)
        assert torch.allclose(moved.inputs, examples.inputs)

    def test_digits_stay_about_as_bright_and_keep_their_labels(self) -> None:
        examples = load_dataset("digits").draw_train(300, 0)
        moved = augmented(examples, shift=1.0, rotation=10.0, scale=0.1)
        brightness = examples.inputs.mean().item()
        assert moved.inputs.mean().item() == pytest.approx(brightness, rel=0.1)
        assert (moved.inputs - examples.inputs).abs().mean().item() > 0.02
        assert torch.equal(moved.targets, examples.targets)
        assert torch.equal(auxiliary(moved), auxiliary(examples))
        assert moved.inputs.shape == examples.inputs.shape
        assert moved.inputs.dtype == torch.float32


BAD: dict[str, list[object]] = {
    "repair": [1, 0, None, "yes"],
    "shift": [-0.1, math.nan, math.inf, SIZE, True, False, "1", None],
    "rotation": [-1, math.nan, math.inf, 360, True, False, "1", None],
    "scale": [-0.1, math.nan, math.inf, 1, 1.5, True, False, "1", None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in BAD.items() for value in values]
)
def test_a_setting_out_of_its_range_is_refused_by_name(name: str, value: object) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=rf"^{name}: should be .*, but it is {value!r}$"):
        augment_pairs(numbered(2), **settings)


@pytest.mark.parametrize("shape", [(4, 2), (4, 14, 14), (4, 1, 14, 14), (4, 2, 14, 15)])
@pytest.mark.parametrize(("name", "value"), EVERYTHING.items())
def test_what_is_no_pair_of_square_images_is_refused(
    shape: tuple[int, ...], name: str, value: object
) -> None:
    examples = Examples(torch.rand(shape), torch.zeros(4, dtype=torch.int64))
    settings: dict[str, Any] = {name: value}
    with pytest.raises(InputError, match=r"pairs of square images .* these examples are \[4, "):
        augment_pairs(examples, **settings)
