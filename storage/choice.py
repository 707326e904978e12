"""The rule by which one configuration is chosen among the complete trials of a study."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Candidate(NamedTuple):
    """A complete trial: its number, its error and what identifies its configuration."""

    trial: int
    error: float
    configuration: Hashable


class Choice(NamedTuple):
    """The chosen trial, and the mean error of the trials with its configuration."""

    trial: int
    error: float


def best_of(candidates: Iterable[Candidate]) -> Choice | None:
    """The configuration with the lowest mean error, as the first of its trials.

    Trials with equal configurations differ by chance alone. They are one candidate, so that the
    luckiest of them is not preferred. None without candidates.
    """
    repeats: dict[Hashable, list[Candidate]] = defaultdict(list)
    for candidate in sorted(candidates):
        repeats[candidate.configuration].append(candidate)
    choices = [Choice(trials[0].trial, _mean_error(trials)) for trials in repeats.values()]
    return min(choices, key=lambda choice: (choice.error, choice.trial), default=None)


def _mean_error(trials: list[Candidate]) -> float:
    return sum(trial.error / len(trials) for trial in trials)  # a sum of errors could overflow
