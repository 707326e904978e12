"""Each draw of a study is checked as the first one is: it may have another seed or machine."""

from collections.abc import Callable

import pytest
import torch

from hpo import protocol
from hpo.datasets import Examples
from hpo.datasets.draws import draw_search, draw_test_run
from hpo.errors import InputError
from hpo.protocol import Protocol


PROTOCOL: Protocol = protocol.make(
    architecture="fnn",
    dataset="own",
    fingerprint="",
    train_size=12,
    test_size=6,
    space={"learning_rate": 0.01},
)


class Drawn:
    """A data set whose test examples are changed by `change` after they are drawn."""

    name = task = "own"
    default_train_size = max_train_size = 12
    default_test_size = max_test_size = 6

    def __init__(self, change: Callable[[Examples], object]) -> None:
        self._change = change

    def fingerprint(self) -> str:
        return "own"

    def draw_train(self, n: int, seed: int) -> Examples:
        return Examples(torch.ones(n, 3), torch.arange(n) % 2)

    def draw_test(self, n: int, seed: int) -> Examples:
        examples = self.draw_train(n, seed)
        changed = self._change(examples)
        return changed if isinstance(changed, Examples) else examples


CHANGES = {
    "values that are missing": lambda e: e.inputs.fill_(torch.nan),
    "7 inputs, 7 targets, not 6": lambda e: Examples(torch.ones(7, 3), torch.arange(7) % 2),
    r"inputs of torch.float32 \[4\] .* those of draw_train have torch.float32 \[3\]": (
        lambda e: Examples(torch.ones(6, 4), e.targets)
    ),
    "targets of torch.float32": lambda e: Examples(e.inputs, e.targets.float()),
    "the class 5, which the training examples of the same seed lack": (
        lambda e: e.targets[0].fill_(5)
    ),
    "inputs of torch.float64": lambda e: Examples(e.inputs.double(), e.targets),
}


@pytest.mark.parametrize(("says", "change"), CHANGES.items())
def test_a_test_run_takes_no_malformed_examples(
    says: str, change: Callable[[Examples], object]
) -> None:
    with pytest.raises(InputError, match=rf"^data set own: draw_test returns .*{says}"):
        draw_test_run(Drawn(change), PROTOCOL, 3)


def test_well_formed_examples_are_taken_as_drawn() -> None:
    train, test = draw_test_run(Drawn(lambda examples: None), PROTOCOL, 3)
    assert (len(train), len(test)) == (12, 6)


def test_sequences_of_indexes_may_have_another_length() -> None:
    class Words(Drawn):
        def draw_train(self, n: int, seed: int) -> Examples:
            return Examples(torch.ones(n, n, dtype=torch.long), torch.arange(n) % 2)

    _, test = draw_test_run(Words(lambda examples: None), PROTOCOL, 3)
    assert test.inputs.shape == (6, 6)


def test_a_search_takes_no_missing_values() -> None:
    class Gaps(Drawn):
        def draw_train(self, n: int, seed: int) -> Examples:
            return Examples(torch.full((n, 3), torch.nan), torch.arange(n) % 2)

    with pytest.raises(InputError, match="draw_train returns values that are missing"):
        draw_search(Gaps(lambda examples: None), PROTOCOL)
