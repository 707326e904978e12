"""What variants of a network differ in: shared weights, auxiliary loss, asymmetry loss, merges."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hpo.architectures import architectures
from hpo.architectures.blocks import ACTIVATIONS, MERGES, Merge, activate
from hpo.datasets import Examples
from hpo.errors import InputError
from hpo.training.config import TrainingConfig
from hpo.training.fit import Training, outputs_of
from hpo.training.split import Split
from tests.support.networks import (
    CPU,
    a_family_s_auxiliary,
    asymmetric,
    build,
    encoded,
    entries,
    every,
    examples,
    selected,
    without_dropout,
)


def parts(model: nn.Module, images: Tensor) -> Tensor:
    """What a network's encoders make of each image, [N, 2, F]."""
    found = outputs_of(model, images).auxiliary
    if found is None:
        assert isinstance(model.encoded, nn.Module)
        found = model.encoded(images)
    return found


def trained(name: str, data: Examples, n_epochs: int, **params: Any) -> nn.Module:
    """The network after a short training on `data` as they are, in evaluation mode."""
    entry = architectures.get(name)
    own = entry.hyperparameters
    rates = {key: 0.0 for key in own if key.endswith("dropout")}
    config = TrainingConfig(
        architecture=entry,
        params=rates | {"learning_rate": 0.003} | params,
        epochs=n_epochs,
        batch_size=32,
    )
    training = Training(config, Split.of(data, data, CPU), CPU, ("trained",))
    for _ in range(n_epochs):
        training.run_epoch()
    return training.model.eval()


def drawn(digits: Tensor, targets: Tensor) -> Examples:
    """Pairs of digits [N, 2] that are easy to tell: the higher, the lower the bright bar lies."""
    n = len(digits)
    images = 0.1 * torch.randn(n, 2, 14, 14, generator=torch.Generator().manual_seed(1))
    for pair, (first, second) in enumerate(digits.tolist()):
        images[pair, 0, first + 1 : first + 4] += 2
        images[pair, 1, second + 1 : second + 4] += 2
    return Examples(images, targets, digits)


class TestWeightSharing:
    @encoded
    def test_only_shared_weights_give_swapped_images_swapped_codes(self, name: str) -> None:
        model, images = build(name).eval(), examples(name).inputs
        one, other = parts(model, images), parts(model, images.flip(1)).flip(1)
        shares = architectures.get(name).weight_sharing
        assert torch.allclose(one, other, atol=1e-6) == shares
        assert ((one - other).abs().max() > 1e-2) != shares

    @encoded
    def test_a_shared_encoder_is_there_once_others_for_each_image(self, name: str) -> None:
        model = build(name)
        assert isinstance(model.encoded, nn.Module)
        n_encoders = len(list(model.encoded.encoders))  # type: ignore[arg-type]
        assert n_encoders == (1 if architectures.get(name).weight_sharing else 2)


class TestAuxiliaryLoss:
    @a_family_s_auxiliary
    def test_its_weight_decides_whether_digits_are_learned(self, name: str) -> None:
        """Pairs of equal digits that are all in order: only the digits' own loss tells them."""
        digits = torch.arange(64).remainder(4).mul(3).unsqueeze(1).repeat(1, 2)
        data = drawn(digits, torch.ones(64, dtype=torch.int64))

        def digit_loss(weight: float) -> float:
            model = trained(name, data, 15, aux_weight=weight)
            found = parts(model, Split.of(data, data, CPU).train.inputs)
            return functional.cross_entropy(found.flatten(0, 1), digits.flatten()).item()

        assert digit_loss(1.0) < digit_loss(0.0) / 2

    @selected(["convpair-ws-aux", "fc-aux", "deepconv-aux"])
    def test_no_activation_cuts_off_what_tells_digits(self, name: str) -> None:
        found = parts(build(name), examples(name, 40).inputs)
        assert found.min() < 0, "a digit that is 0 for every image could never learn"


class TestAsymmetryLoss:
    @every
    def test_the_swapped_answer_is_for_its_training_alone(self, name: str) -> None:
        model, inputs = build(name), examples(name).inputs
        in_training = outputs_of(model, inputs).swapped
        assert (in_training is not None) == architectures.get(name).asymmetry_loss
        assert outputs_of(model.eval(), inputs).swapped is None

    @selected(e.name for e in entries() if e.asymmetry_loss and e.weight_sharing)
    def test_shared_weights_answer_the_flipped_images(self, name: str) -> None:
        model, images = without_dropout(build(name)), examples(name).inputs
        swapped = outputs_of(model, images).swapped
        assert swapped is not None
        torch.testing.assert_close(swapped, outputs_of(model, images.flip(1)).logits)

    @asymmetric
    def test_it_teaches_to_answer_swapped_pairs_the_opposite(self, name: str) -> None:
        """All pairs are in order: nothing but this loss has seen a pair that is not."""
        generator = torch.Generator().manual_seed(2)
        first = torch.randint(0, 5, (128,), generator=generator)
        second = first + torch.randint(1, 6, (128,), generator=generator)
        data = drawn(torch.stack([first, second], dim=1), torch.ones(128, dtype=torch.int64))

        def share_opposite(weight: float) -> float:
            model = trained(name, data, 25, asymmetry_weight=weight)
            inputs = Split.of(data, data, CPU).train.inputs
            answers = [outputs_of(model, i).logits.argmax(dim=1) for i in (inputs, inputs.flip(1))]
            return (answers[0] != answers[1]).float().mean().item()

        assert share_opposite(0.0) < 0.1
        assert share_opposite(1.0) > 0.9


class TestChoices:
    @selected(e.name for e in entries() if "merge" in e.hyperparameters)
    @pytest.mark.parametrize("merge", list(MERGES))
    def test_two_images_can_be_merged_in_each_way(self, name: str, merge: str) -> None:
        found = outputs_of(build(name, merge=merge), examples(name).inputs)
        assert found.logits.shape == (8, 2)
        assert found.logits.isfinite().all()

    def test_merges_do_what_their_names_say(self) -> None:
        parts_NPF = torch.tensor([[[1.0, 5.0], [4.0, 2.0]]])
        expected = {"concatenate": [1, 5, 4, 2], "difference": [-3, 3], "maximum": [4, 5]}
        assert set(expected) == set(MERGES)
        for name, values in expected.items():
            merge = Merge(name)
            assert merge(parts_NPF).tolist() == [values]
            assert merge.width(2) == len(values)

    def test_activations_do_what_their_names_say(self) -> None:
        values = torch.tensor([-2.0, 0.0, 2.0])
        expected = {
            "relu": [0.0, 0.0, 2.0],
            "leaky_relu": [-0.02, 0.0, 2.0],
            "tanh": values.tanh().tolist(),
            "sigmoid": (1 / (1 + (-values).exp())).tolist(),
        }
        assert set(expected) == set(ACTIVATIONS)
        for name, wanted in expected.items():
            assert activate(name)(values).tolist() == pytest.approx(wanted)

    @pytest.mark.parametrize(
        ("params", "said"),
        [
            ({"merge": "sum"}, "merge is 'sum'; allowed: concatenate, difference, maximum"),
            ({"activation": "gelu"}, "activation is 'gelu'; allowed: relu, leaky_relu, tanh, sigm"),
        ],
    )
    def test_an_unknown_name_lists_the_known_ones(self, params: dict[str, str], said: str) -> None:
        with pytest.raises(InputError, match=said):
            build("siamese", **params)

    @selected(e.name for e in entries() if "channels" in e.hyperparameters)
    def test_channels_change_the_network(self, name: str) -> None:
        n_layers = len(architectures.get(name).hyperparameters["channels"])
        sizes = set()
        for channels in ([8] * n_layers, [8] * (n_layers - 1) + [64], [64] * n_layers):
            model = build(name, channels=channels)
            assert outputs_of(model, examples(name).inputs).logits.isfinite().all()
            sizes.add(sum(each.numel() for each in model.parameters()))
        assert len(sizes) == 3
