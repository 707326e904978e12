"""The rule of the choice: the lowest mean error, where repeats of one configuration are one."""

import pytest

from storage.choice import Candidate, best_of


@pytest.mark.parametrize(
    ("candidates", "choice"),
    [
        ([], None),
        ([(0, 0.3, "a"), (1, 0.2, "b"), (2, 0.4, "c")], (1, 0.2)),
        ([(1, 0.2, "b"), (0, 0.2, "a")], (0, 0.2)),
        ([(0, 0.3, "a"), (1, 0.1, "a"), (2, 0.15, "b")], (2, 0.15)),  # a repeat is lucky
        ([(3, 0.1, "a"), (1, 0.2, "a"), (2, 0.4, "b")], (1, 0.15)),  # the first repeat stands
        ([(0, 1e308, "a"), (1, 1e308, "a"), (2, 1.5e308, "b")], (0, 1e308)),
    ],
)
def test_the_lowest_mean_error_is_chosen(
    candidates: list[tuple[int, float, str]], choice: tuple[int, float] | None
) -> None:
    chosen = best_of(Candidate(*each) for each in candidates)
    if choice is None:
        assert chosen is None
    else:
        assert chosen is not None
        assert (chosen.trial, round(chosen.error, 9)) == choice
