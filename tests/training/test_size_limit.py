"""A network that memory cannot hold is refused before it is made."""

import pytest
import torch
from torch import nn

from hpo.errors import InputError
from hpo.training.size_limit import SizeLimit, trainable_numbers


SIZES = [(2, 3), ((2, 3),), ([2, 3],)]


@pytest.mark.parametrize("size", SIZES, ids=["numbers", "a tuple", "a list"])
def test_every_way_to_write_a_size_is_counted(size: tuple[int, ...]) -> None:
    with SizeLimit(6):
        torch.empty(*size)
    with SizeLimit(5), pytest.raises(InputError, match="would hold more than 5 numbers"):
        torch.zeros(*size)


def test_the_layers_of_a_network_are_added_up() -> None:
    with SizeLimit(2 * (4 * 4 + 4)):
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    with SizeLimit(2 * (4 * 4 + 4) - 1), pytest.raises(InputError):
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))


@pytest.mark.parametrize("make", [nn.Linear, nn.Embedding, nn.LSTM, nn.Bilinear])
def test_nothing_of_that_size_is_made(make: type[nn.Module]) -> None:
    sizes = (200_000_000,) * (3 if make is nn.Bilinear else 2)
    with SizeLimit(trainable_numbers()), pytest.raises(InputError, match="make its layers smaller"):
        make(*sizes)


def test_the_weights_are_those_without_a_limit() -> None:
    torch.manual_seed(0)
    expected = nn.Linear(4, 4).weight
    torch.manual_seed(0)
    with SizeLimit(100):
        assert torch.equal(nn.Linear(4, 4).weight, expected)
