"""The zoo: every network trains, has the size its report gives, and shares what it says it does."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import Architecture, Outputs, architectures, count_parameters
from hpo.architectures.blocks import MERGES, Merge, dense
from hpo.architectures.contract import pair_architecture
from hpo.architectures.siamese import digit_encoder
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.registry import Registry
from hpo.training import Optimization, Setting, Split, Training, hyperparameters
from search_spaces import recipe


SIZES = {"baseline": 81_239, "non-siamese": 117_516, "siamese": 192_601}
COMPARED = ("non-siamese", "siamese")
every = pytest.mark.parametrize("name", list(architectures))
compared = pytest.mark.parametrize("name", COMPARED)


def build(name: str, **params: Any) -> nn.Module:
    torch.manual_seed(0)
    return architectures.get(name).build(**params)


def pairs(n: int = 6) -> Tensor:
    """Images [N, 2, 14, 14]."""
    return torch.randn(n, 2, 14, 14, generator=torch.Generator().manual_seed(1))


def reported(name: str) -> Mapping[str, Any]:
    """The network's own parameters in the report."""
    found = recipe.bundled(name)
    assert found is not None
    assert found.reported is not None
    own = architectures.get(name).hyperparameters
    return {key: value for key, value in found.reported.hyperparameters.items() if key in own}


@every
def test_the_size_is_that_of_the_report(name: str) -> None:
    assert count_parameters(build(name)) == SIZES[name]
    assert count_parameters(build(name, **reported(name))) == SIZES[name]


def test_weights_are_counted_without_biases_and_norms() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(5, 7))
    model[2].weight.requires_grad_(True)
    assert count_parameters(model, biases=False) == 2 * 3 * 9 + 5 * 7
    assert count_parameters(model) == 2 * 3 * 9 + 3 + 3 + 3 + 5 * 7 + 7
    model[2].bias.requires_grad_(False)
    assert count_parameters(model) == 2 * 3 * 9 + 3 + 3 + 3 + 5 * 7


@every
@pytest.mark.parametrize("n", [2, 7])
def test_outputs_have_their_shapes_and_are_finite(name: str, n: int) -> None:
    outputs: Outputs = build(name)(pairs(n))
    assert outputs.logits.shape == (n, 2)
    assert outputs.logits.isfinite().all()
    if architectures.get(name).auxiliary_loss:
        assert outputs.auxiliary is not None
        assert outputs.auxiliary.shape == (n, 2, 10)
        assert outputs.auxiliary.isfinite().all()
    else:
        assert outputs.auxiliary is None


@every
def test_one_pair_can_be_evaluated_alone(name: str) -> None:
    model = build(name).eval()
    together = model(pairs()).logits
    assert torch.allclose(model(pairs()[:1]).logits, together[:1], atol=1e-5)


@every
def test_every_parameter_learns_from_the_training_loss(name: str) -> None:
    """An epoch of Adam without weight decay moves exactly the parameters that have a gradient."""
    n = 40
    digits = torch.randint(0, 10, (n, 2), generator=torch.Generator().manual_seed(2))
    examples = Examples(pairs(n), (digits[:, 0] <= digits[:, 1]).long(), digits)
    split = Split.of(examples, examples, torch.device("cpu"))
    setting = Setting(architecture=architectures.get(name), params={}, epochs=1, batch_size=20)
    training = Training(setting, split, torch.device("cpu"), ("test",))
    before = {key: each.detach().clone() for key, each in training.model.named_parameters()}
    training.run_epoch()
    after = dict(training.model.named_parameters())
    assert [key for key, each in before.items() if torch.equal(each, after[key])] == []


@pytest.mark.parametrize(("aux_weight", "learn"), [(0.0, False), (1.0, True)])
@compared
def test_the_auxiliary_weight_decides_whether_digits_are_learned(
    name: str, aux_weight: float, learn: bool
) -> None:
    """Pairs that are all in order and a label of their own: only the digit loss tells them."""
    n = 64
    digits = torch.arange(n).remainder(2).unsqueeze(1).repeat(1, 2)
    images = digits.float().mul(2).sub(1)[:, :, None, None] + 0.1 * pairs(n)
    examples = Examples(images, torch.ones(n, dtype=torch.int64), digits + 3)
    split = Split.of(examples, examples, torch.device("cpu"))
    params = {"aux_weight": aux_weight, "learning_rate": 0.01, "channels": [4, 4, 4]}
    setting = Setting(architecture=architectures.get(name), params=params, epochs=1, batch_size=32)
    training = Training(setting, split, torch.device("cpu"), ("test",))
    for _ in range(12):
        training.run_epoch()
    found = training.model.eval()(split.held_out.inputs).auxiliary.argmax(dim=2)
    right = (found == examples.auxiliary).float().mean().item()
    assert (right > 0.9) is learn


def swapped_digits(name: str) -> tuple[Tensor, Tensor]:
    """What the network says of each image, and of the same images with their sides swapped."""
    model = build(name).eval()
    images = pairs()
    return model(images).auxiliary, model(images.flip(1)).auxiliary.flip(1)


def test_one_shared_encoder_says_the_same_of_an_image_on_either_side() -> None:
    assert architectures.get("siamese").weight_sharing
    one, other = swapped_digits("siamese")
    assert torch.allclose(one, other, atol=1e-6)


def test_two_encoders_do_not() -> None:
    assert not architectures.get("non-siamese").weight_sharing
    one, other = swapped_digits("non-siamese")
    assert not torch.allclose(one, other, atol=1e-2)


@every
def test_channels_can_be_searched(name: str) -> None:
    sizes = set()
    for channels in ([8, 8, 8], [8, 16, 256], [256, 256, 256]):
        model = build(name, channels=channels)
        assert model(pairs()).logits.isfinite().all()
        sizes.add(count_parameters(model))
    assert len(sizes) == 3


@compared
@pytest.mark.parametrize("merge", list(MERGES))
def test_the_two_images_can_be_merged_in_each_way(name: str, merge: str) -> None:
    outputs = build(name, merge=merge)(pairs())
    assert outputs.logits.shape == (6, 2)


def test_merges_do_what_their_names_say() -> None:
    parts_NPF = torch.tensor([[[1.0, 5.0], [4.0, 2.0]]])
    expected = {"concatenate": [1, 5, 4, 2], "difference": [-3, 3], "maximum": [4, 5]}
    assert set(expected) == set(MERGES)
    for name, values in expected.items():
        merge = Merge(name)
        assert merge(parts_NPF).tolist() == [values]
        assert merge.width(2) == len(values)


def test_an_unknown_merge_lists_the_known_ones() -> None:
    with pytest.raises(InputError, match="merge is 'sum'; allowed: concatenate, difference, max"):
        build("siamese", merge="sum")


@compared
def test_dropout_is_active_in_training_alone(name: str) -> None:
    model = build(name, dropout=0.5)
    assert not torch.equal(model(pairs()).logits, model(pairs()).logits)
    model.eval()
    assert torch.equal(model(pairs()).logits, model(pairs()).logits)


@every
def test_the_recipe_searches_only_what_the_architecture_has(name: str) -> None:
    found = recipe.bundled(name)
    assert found is not None
    own = hyperparameters(architectures.get(name))
    assert set(found.space.names) <= set(own)
    assert {"learning_rate", "weight_decay", "channels"} <= set(found.space.names)
    assert ("aux_weight" in own) is architectures.get(name).auxiliary_loss
    assert {f.name for f in fields(Optimization)} - {"aux_weight"} <= set(own)


@pytest.mark.parametrize("value", [-0.1, float("nan"), "fast", True, None])
def test_a_learning_rate_that_is_no_number_from_0_is_refused(value: Any) -> None:
    entry = architectures.get("siamese")
    setting = Setting(architecture=entry, params={"learning_rate": value}, epochs=1, batch_size=2)
    with pytest.raises(InputError, match=r"^learning_rate: should be a number from 0"):
        _ = setting.optimization


def as_drawn_in_the_report(channels: Sequence[int], dropout: float) -> nn.Sequential:
    """Figure A2 line by line: the encoder without what `digit_encoder` does to be fast."""
    c1, c2, c3 = channels
    return nn.Sequential(
        nn.Conv2d(1, c1, kernel_size=3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(c1, c2, kernel_size=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(c2, c3, kernel_size=2),
        nn.ReLU(),
        nn.Flatten(),
        *dense(c3, 75, dropout),
        *dense(75, 75, dropout),
        nn.Linear(75, 10),
    )


def test_the_fast_encoder_is_the_report_s_in_outputs_and_gradients() -> None:
    torch.manual_seed(0)
    fast, drawn = digit_encoder((8, 16, 32), 0.0), as_drawn_in_the_report((8, 16, 32), 0.0)
    for ours, theirs in zip(fast.parameters(), drawn.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    images = torch.randn(20, 1, 14, 14)
    outputs = [network(images) for network in (fast, drawn)]
    torch.testing.assert_close(outputs[0], outputs[1])
    for output in outputs:
        output.square().sum().backward()
    for ours, theirs in zip(fast.parameters(), drawn.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-4)


class TestRegistry:
    def test_names_are_kept_in_order_and_given_back(self) -> None:
        registry: Registry[int] = Registry("number")
        registry.add("two", 2)
        assert registry.add("one", 1) == 1
        assert list(registry) == ["two", "one"]
        assert (registry.get("one"), registry.get("two")) == (1, 2)

    def test_a_name_is_given_once(self) -> None:
        registry: Registry[int] = Registry("number")
        registry.add("one", 1)
        with pytest.raises(ValueError, match="number 'one' is registered twice"):
            registry.add("one", 2)
        assert registry.get("one") == 1

    def test_an_architecture_is_not_entered_over_another(self) -> None:
        before: Architecture = architectures.get("siamese")
        with pytest.raises(ValueError, match="architecture 'siamese' is registered twice"):
            pair_architecture("siamese", source="a test")(nn.Identity)
        assert architectures.get("siamese") is before

    def test_an_unknown_name_lists_near_ones_else_all(self) -> None:
        with pytest.raises(InputError, match="no architecture named 'siames'; did you mean siam"):
            architectures.get("siames")
        with pytest.raises(InputError, match=r"known: baseline, non-siamese, siamese$"):
            architectures.get("transformer")
