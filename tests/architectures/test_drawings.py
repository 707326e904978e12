"""Networks built to be fast, or from words of a report, equal what is drawn or said there."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hpo.architectures import convpair, direct, siamese
from hpo.architectures.blocks import activate, dense
from hpo.architectures.direct import Enlarge
from hpo.architectures.ordinal import AtMost
from tests.support.networks import build


def siamese_as_drawn(activation: str) -> nn.Sequential:
    """Report 004, figure A2: nothing cut off, activations before pooling."""
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, kernel_size=2),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, kernel_size=2),
        activate(activation),
        nn.Flatten(),
        *dense(32, 75, 0.0, activation=activation),
        *dense(75, 75, 0.0, activation=activation),
        nn.Linear(75, 10),
    )


def convpair_as_drawn(activation: str) -> nn.Sequential:
    """Report 000, section 2.1, with each activation right behind its layer."""
    return nn.Sequential(
        nn.Conv2d(1, 8, kernel_size=3),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, kernel_size=3),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 200),
        activate(activation),
        nn.Linear(200, 10),
        activate(activation),
    )


def direct_as_drawn(activation: str) -> nn.Sequential:
    """Report 003, section 1.5: 14x14 to 16x16, 8x8, 4x4, then 256, 120, 84, 10."""
    return nn.Sequential(
        nn.Conv2d(1, 6, kernel_size=3, padding=2),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, kernel_size=3, padding=1),
        activate(activation),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(256, 120),
        activate(activation),
        nn.Linear(120, 84),
        activate(activation),
        nn.Linear(84, 10),
    )


def as_built_convpair(activation: str) -> nn.Module:
    """The comparator begins with the encoder's last activation, which the digit loss goes round."""
    return nn.Sequential(
        convpair.digit_encoder((8, 16), 200, 0.0, activation, batch_norm=False),
        activate(activation),
    )


def as_built_direct(activation: str) -> nn.Module:
    extractor = direct.direct_extractor((6, 16), activation, batch_norm=False)
    return nn.Sequential(
        extractor, direct.classifier(16, (120, 84), 0.0, activation, batch_norm=False)
    )


ENCODERS: dict[str, tuple[Callable[[str], nn.Module], Callable[[str], nn.Module]]] = {
    "siamese": (
        lambda activation: siamese.digit_encoder((8, 16, 32), 75, 0.0, activation=activation),
        siamese_as_drawn,
    ),
    "convpair": (as_built_convpair, convpair_as_drawn),
    "direct": (as_built_direct, direct_as_drawn),
}


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("name", list(ENCODERS))
def test_an_encoder_is_the_reports_in_outputs_and_gradients(name: str, activation: str) -> None:
    torch.manual_seed(0)
    built, drawn = (make(activation).double() for make in ENCODERS[name])
    for ours, theirs in zip(built.parameters(), drawn.parameters(), strict=True):
        theirs.data.copy_(ours.data)
    images = torch.randn(20, 1, 14, 14).double()  # in float32 a near tie in a pooling may tip over
    outputs = [network(images) for network in (built, drawn)]
    torch.testing.assert_close(outputs[0], outputs[1])
    for output in outputs:
        output.square().sum().backward()
    for ours, theirs in zip(built.parameters(), drawn.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


class TestEnlarge:
    def test_it_has_nothing_to_be_trained(self) -> None:
        assert list(Enlarge().parameters()) == []

    def test_training_leaves_it_as_it_is(self) -> None:
        model = build("shres-ws")
        (fixed,) = (module for module in model.modules() if isinstance(module, Enlarge))
        before = fixed.kernel.clone()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.1)
        model(torch.randn(4, 2, 14, 14)).logits.sum().backward()
        optimizer.step()
        assert torch.equal(fixed.kernel, before)

    @pytest.mark.parametrize("threshold", [0.0, -0.5])
    def test_it_is_nearest_neighbour_then_smoothing_then_a_threshold(
        self, threshold: float
    ) -> None:
        image = np.random.default_rng(0).normal(size=(3, 4))
        larger = image.repeat(2, axis=0).repeat(2, axis=1)
        padded = np.pad(larger, 1, mode="edge")
        weights = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
        smooth = np.zeros((6, 8))
        for row in range(6):
            for column in range(8):
                smooth[row, column] = (padded[row : row + 3, column : column + 3] * weights).sum()
        expected = np.maximum(smooth, threshold)
        found = Enlarge(threshold)(torch.tensor(image, dtype=torch.float32)[None, None])
        assert found.shape == (1, 1, 6, 8)
        np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-5, atol=1e-6)
        assert (expected == threshold).any()
        assert (expected > threshold).any()

    def test_each_image_is_enlarged_for_itself(self) -> None:
        images = torch.randn(5, 1, 14, 14)
        together = Enlarge()(images)
        assert together.shape == (5, 1, 28, 28)
        assert torch.allclose(together[2:3], Enlarge()(images[2:3]))


class TestAtMost:
    def test_it_is_the_sum_over_all_ordered_pairs_of_digits(self) -> None:
        logits = torch.randn(6, 2, 10, generator=torch.Generator().manual_seed(0)) * 3
        p_NPK = logits.double().softmax(dim=2).numpy()
        found = AtMost()(logits).exp()
        for pair, (first, second) in enumerate(p_NPK):
            at_most = sum(first[i] * second[j] for i in range(10) for j in range(i, 10))
            greater = sum(first[i] * second[j] for i in range(10) for j in range(i))
            assert found[pair].tolist() == pytest.approx([greater, at_most], rel=1e-4, abs=2e-6)

    @pytest.mark.parametrize(("first", "second"), [(3, 3), (3, 4), (4, 3), (0, 9), (9, 0), (9, 9)])
    def test_certain_digits_give_a_certain_answer(self, first: int, second: int) -> None:
        answer = AtMost()(certain(first, second)).argmax(dim=1).item()
        assert answer == int(first <= second)

    @pytest.mark.parametrize("size", [30.0, 1e4, 1e30])
    def test_extreme_logits_have_finite_answers_and_gradients(self, size: float) -> None:
        for first in range(10):
            for second in range(10):
                logits = certain(first, second, size).requires_grad_()
                found = AtMost()(logits)
                assert found.isfinite().all()
                for target in (0, 1):
                    loss = nn.functional.cross_entropy(found, torch.tensor([target]))
                    (gradient,) = torch.autograd.grad(loss, logits, retain_graph=True)
                    assert loss.isfinite()
                    assert gradient.isfinite().all()


def certain(first: int, second: int, size: float = 50.0) -> Tensor:
    """Logits [1, 2, 10] of two digits, certain by `size`."""
    logits = torch.full((1, 2, 10), -size)
    logits[0, 0, first] = logits[0, 1, second] = size
    return logits
