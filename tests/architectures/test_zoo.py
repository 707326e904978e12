"""The zoo: every network has its report's size, trains, and learns all that its recipe searches.

What is parametrized over the registry holds for every architecture that is ever added.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import optuna
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_networks import FITS
from hpo.architectures import Architecture, architectures, count_parameters
from hpo.architectures.blocks import ComparedPair, Merge
from hpo.architectures.contract import pair_architecture
from hpo.architectures.convolutions import FirstConv2d, MaxPool2d, PaddedConv2d, TileConv2d
from hpo.errors import InputError
from hpo.registry import Registry
from hpo.training.config import TrainingConfig, hyperparameters
from hpo.training.fit import Training, outputs_of, repeatable
from search_spaces import recipe
from search_spaces.recipe import Recipe
from tests.support.networks import CPU, build, every, examples, selected, split, without_dropout
from tests.support.tiny_studies import must


N_SAMPLED = 5
N_EXAMPLES = 100


class Row(NamedTuple):
    """A network as its report has it: traits, all parameters, weights without biases."""

    traits: str
    n_parameters: int | None = None
    n_weights: int | None = None


REPORTED = {
    "convpair": Row("", 241_654),
    "convpair-ws": Row("WS", 169_428),
    "convpair-ws-aux": Row("WS AUX", 169_428),
    "convpair-ws-aux-dropout": Row("WS AUX", 169_428),
    "convpair-ws-aux-small": Row("WS AUX", 72_460),
    "fc": Row("", 72_032),
    "fc-aux": Row("WS AUX", 40_692),
    "deepconv": Row("", 67_228),
    "deepconv-aux": Row("WS AUX", 66_448),
    "fnn": Row(""),
    "fnn-ws": Row("WS"),
    "fnn-aux": Row("AUX"),
    "fnn-ws-aux": Row("WS AUX"),
    "cnn": Row(""),
    "cnn-ws": Row("WS"),
    "cnn-aux": Row("AUX"),
    "cnn-ws-aux": Row("WS AUX"),
    "disk-mlp": Row("", 1_427),
    "direct-basic": Row("", 84_426, 83_932),
    "direct-ws": Row("WS", 43_168, 42_910),
    "direct-al": Row("AUX", 85_962, 85_468),
    "direct-al-ws": Row("WS AUX", 43_168, 42_910),
    "direct-al-ws-asym": Row("WS AUX ASYM", 43_168, 42_910),
    "shres-ws": Row("WS", 44_800, 44_542),
    "shres-al": Row("AUX", 89_226, 88_732),
    "shres-al-ws": Row("WS AUX", 44_800, 44_542),
    "shres-al-ws-asym": Row("WS AUX ASYM", 44_800, 44_542),
    "baseline": Row("", 81_239),
    "non-siamese": Row("AUX", 117_516),
    "siamese": Row("WS AUX", 192_601),
}
"""All networks of the reports; that of the fnn and cnn gives no sizes."""


def bundled(name: str) -> Recipe:
    found = recipe.bundled(name)
    assert found is not None, f"{name} has no recipe: write one into search_spaces/"
    return found


def reported(name: str) -> Mapping[str, Any]:
    """The network's own parameters in the report."""
    found = bundled(name).reported
    own = architectures.get(name).hyperparameters
    given = {} if found is None else found.hyperparameters
    return {key: value for key, value in given.items() if key in own}


class TestSizes:
    @selected(name for name, row in REPORTED.items() if row.n_parameters)
    def test_the_size_is_that_of_the_report(self, name: str) -> None:
        row = REPORTED[name]
        for model in (build(name), build(name, **reported(name))):
            assert count_parameters(model) == row.n_parameters
            assert row.n_weights in (None, count_parameters(model, biases=False))

    def test_the_command_lists_every_network_as_its_report_has_it(self) -> None:
        listed = {each["name"]: each for each in json.loads(must("architectures --json"))}
        assert list(listed) == list(architectures)
        assert {name: as_listed(listed[name], row) for name, row in REPORTED.items()} == REPORTED

    def test_the_computed_comparison_needs_at_most_70_000_parameters(self) -> None:
        assert count_parameters(build("ordinal")) <= 70_000

    def test_weights_are_counted_without_biases_and_norms(self) -> None:
        model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(5, 7))
        assert count_parameters(model, biases=False) == 2 * 3 * 9 + 5 * 7
        assert count_parameters(model) == 2 * 3 * 9 + 3 + 3 + 3 + 5 * 7 + 7
        model[2].bias.requires_grad_(False)
        assert count_parameters(model) == 2 * 3 * 9 + 3 + 3 + 3 + 5 * 7


def as_listed(listed: Mapping[str, Any], row: Row) -> Row:
    """A row of what the command says, with the counts that the report gives."""
    keys = {"WS": "weight_sharing", "AUX": "auxiliary_loss", "ASYM": "asymmetry_loss"}
    return Row(
        " ".join(word for word, key in keys.items() if listed[key]),
        row.n_parameters and listed["n_parameters"],
        row.n_weights and listed["n_weights"],
    )


class TestSpeed:
    @selected(FITS)
    def test_a_fast_encoder_equals_its_report_s(self, name: str) -> None:
        fast = encoder_of(build(name)).double()
        drawn = without_dropout(FITS[name].make().encoder).double()
        weights = list(zip(fast.parameters(), drawn.parameters(), strict=True))
        for ours, theirs in weights:
            theirs.data.copy_(ours.data)
        images = examples(name, 20).inputs.flatten(0, 1).unsqueeze(1).double()
        outputs = [fast(images), drawn(images)]
        torch.testing.assert_close(*outputs)
        for each in outputs:
            each.square().sum().backward()
        for ours, theirs in weights:
            torch.testing.assert_close(ours.grad, theirs.grad)

    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(("kernel", "padding"), [(5, 2), (5, 3), (4, 3), (3, 3), (3, 5)])
    def test_a_padded_convolution_is_torch_s(self, kernel: int, padding: int, bias: bool) -> None:
        ours = PaddedConv2d(3, 4, kernel, padding=padding, bias=bias)
        theirs = nn.Conv2d(3, 4, kernel, padding=padding, bias=bias)
        theirs.load_state_dict(ours.state_dict())
        images = torch.randn(2, 3, 4, 4)
        torch.testing.assert_close(ours(images), theirs(images))

    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize("channels", [64, 8])
    def test_a_tile_convolution_equals_torch_s(self, channels: int, bias: bool) -> None:
        ours = TileConv2d(channels, 70, kernel_size=2, bias=bias)
        theirs = nn.Conv2d(channels, 70, kernel_size=2, bias=bias)
        theirs.load_state_dict(ours.state_dict())
        images = torch.randn(3, channels, 5, 5)
        torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=2e-5)
        ours, theirs, images = ours.double(), theirs.double(), images.double()
        inputs = [images.clone().requires_grad_() for _ in range(2)]
        outputs = [ours(inputs[0]), theirs(inputs[1])]
        torch.testing.assert_close(*outputs)
        for each in outputs:
            each.square().sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)

    def test_a_wide_tile_convolution_saves_operations(self) -> None:
        """With the way there and back; that of the products alone is 25 of 64."""
        images = torch.randn(100, 64, 5, 5)
        counts = []
        for kind in (TileConv2d, nn.Conv2d):
            with FlopCounterMode(display=False) as counter:
                kind(64, 128, kernel_size=2)(images).sum().backward()
            counts.append(counter.get_total_flops())
        assert counts[0] < 0.6 * counts[1]

    def test_a_tile_convolution_leaves_half_precision_to_torch(self) -> None:
        """Its way there and back would make ten times the roundings."""
        ours = TileConv2d(64, 70, kernel_size=2)
        theirs = nn.Conv2d(64, 70, kernel_size=2)
        theirs.load_state_dict(ours.state_dict())
        images = torch.randn(3, 64, 5, 5)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(ours(images), theirs(images), rtol=0, atol=0)
        half = images.bfloat16()
        torch.testing.assert_close(ours.bfloat16()(half), theirs.bfloat16()(half), rtol=0, atol=0)

    @pytest.mark.parametrize("size", [2, 3])
    @pytest.mark.parametrize("bias", [True, False])
    @pytest.mark.parametrize(("kernel", "padding"), [(3, 2), (3, 0), (2, 1)])
    @pytest.mark.parametrize("channels", [6, 16])
    def test_a_first_convolution_and_its_pooling_equal_torch_s(
        self, channels: int, kernel: int, padding: int, bias: bool, size: int
    ) -> None:
        ours = nn.Sequential(
            FirstConv2d(1, channels, kernel, padding=padding, bias=bias), MaxPool2d(size)
        )
        theirs = nn.Sequential(
            nn.Conv2d(1, channels, kernel, padding=padding, bias=bias), nn.MaxPool2d(size)
        )
        theirs.load_state_dict(ours.state_dict())
        ours, theirs = ours.double(), theirs.double()  # near ties in a pooling stay what they are
        images = torch.randn(5, 1, 14, 14).double()
        outputs = [ours(images), theirs(images)]
        torch.testing.assert_close(*outputs)
        for each in outputs:
            each.square().sum().backward()
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad)

    @pytest.mark.parametrize("size", [2, 3])
    def test_pooling_gives_the_same_with_and_without_gradients(self, size: int) -> None:
        images = torch.randn(2, 3, 6, 7)
        images[0, 0, 1, 1] = torch.nan
        with torch.no_grad():
            quick = MaxPool2d(size)(images)
        torch.testing.assert_close(quick, MaxPool2d(size)(images), equal_nan=True, rtol=0, atol=0)
        innermost = images.permute(1, 2, 3, 0).contiguous().permute(3, 0, 1, 2)
        torch.testing.assert_close(
            quick, MaxPool2d(size)(innermost), equal_nan=True, rtol=0, atol=0
        )


def encoder_of(model: nn.Module) -> nn.Module:
    """What reads both images of a pair, without dropout."""
    assert isinstance(model, ComparedPair)
    return without_dropout(model.encoded.encoders[0])


class TestOutputs:
    @every
    @pytest.mark.parametrize("n", [2, 7])
    def test_they_have_their_shapes_and_are_finite(self, name: str, n: int) -> None:
        entry, data = architectures.get(name), examples(name, n)
        found = outputs_of(build(name), data.inputs)
        assert len(found.logits) == n
        assert found.logits.isfinite().all()
        if not data.targets.is_floating_point():
            assert found.logits.dim() == 2
            assert found.logits.shape[1] > data.targets.max()
        assert (found.auxiliary is not None) == entry.auxiliary_loss
        if found.auxiliary is not None:
            assert data.auxiliary is not None
            assert found.auxiliary.shape[:2] == data.auxiliary.shape
            assert found.auxiliary.shape[2] > data.auxiliary.max()
            assert found.auxiliary.isfinite().all()

    @every
    def test_one_example_can_be_evaluated_alone(self, name: str) -> None:
        model, inputs = build(name).eval(), examples(name).inputs
        together = outputs_of(model, inputs).logits
        assert torch.allclose(outputs_of(model, inputs[:1]).logits, together[:1], atol=1e-5)

    @selected(
        name for name in architectures if "dropout" in architectures.get(name).hyperparameters
    )
    def test_dropout_is_active_in_training_alone(self, name: str) -> None:
        model, inputs = build(name, dropout=0.5), examples(name).inputs

        def answers() -> torch.Tensor:
            return outputs_of(model, inputs).logits

        assert not torch.equal(answers(), answers())
        model.eval()
        assert torch.equal(answers(), answers())


class TestRecipes:
    @every
    def test_it_searches_only_what_the_architecture_and_its_fit_have(self, name: str) -> None:
        found, own = bundled(name), hyperparameters(architectures.get(name))
        assert set(found.space.names) <= set(own)
        assert found.known, "the search begins with a configuration that somebody has tried"
        assert found.reported is None or set(found.reported.hyperparameters) <= set(own)

    @every
    def test_sampled_configurations_give_every_parameter_a_gradient(self, name: str) -> None:
        """One step of the real training each; that its loss is finite it sees itself."""
        data = split(name, N_EXAMPLES)
        with repeatable():
            for number, params in enumerate(sampled(bundled(name))):
                training = Training(one_step(name, params), data, CPU, ("sampled", number))
                training.run_epoch()
                assert not_learning(training.model, params) == [], f"with {params}"


def sampled(found: Recipe) -> Iterator[dict[str, Any]]:
    """Configurations all over the search space, the same in each run."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(N_SAMPLED):
        yield found.space.decode(study.ask(found.space.distributions()).params)


def one_step(name: str, params: Mapping[str, Any]) -> TrainingConfig:
    """A single epoch with all examples in one batch, whatever the recipe says."""
    entry = architectures.get(name)
    return TrainingConfig(architecture=entry, params=params, epochs=1, batch_size=N_EXAMPLES)


def not_learning(model: nn.Module, params: Mapping[str, Any]) -> list[str]:
    """The parameters without a gradient, or with one of 0 where that tells of a dead end.

    Two things are none: with initialization zero only the last bias can begin; and where the
    outputs of one shared encoder are subtracted, what its last bias adds cancels out.
    """
    subtracts = any(isinstance(m, Merge) and m.name == "difference" for m in model.modules())

    def is_dead(name: str, gradient: torch.Tensor) -> bool:
        cancels = subtracts and name.endswith(".bias")
        may_be_0 = cancels or params.get("initialization") == "zero"
        return not may_be_0 and not gradient.count_nonzero()

    return [
        name
        for name, each in model.named_parameters()
        if each.requires_grad and (each.grad is None or is_dead(name, each.grad))
    ]


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
            pair_architecture("siamese", lambda traits: nn.Identity(), source="a test")
        assert architectures.get("siamese") is before

    def test_an_unknown_name_lists_near_ones_else_all(self) -> None:
        with pytest.raises(InputError, match="no architecture named 'siames'; did you mean siam"):
            architectures.get("siames")
        with pytest.raises(InputError, match=r"; known: convpair, .*, siamese"):
            architectures.get("transformer")
