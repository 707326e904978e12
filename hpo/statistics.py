"""Mean, standard deviation and confidence interval of repeated measurements."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The mean, spread and confidence interval of `n` repeated measurements.

    `std` is the sample standard deviation (divisor n - 1). `ci95` is the 95 % confidence interval
    of the mean by Student's t. Both are None if n is 1.
    """

    mean: float
    std: float | None
    n: int
    ci95: tuple[float, float] | None
    values: tuple[float, ...]


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    return statistics.fmean(values)


def summarize(values: Sequence[float]) -> Summary | None:
    """The summary of `values`; None if `values` is empty."""
    if not values:
        return None
    center, n = mean(values), len(values)
    if n == 1:
        return Summary(mean=center, std=None, n=1, ci95=None, values=tuple(values))
    std = statistics.stdev(values)
    half_width = t_quantile(0.975, n - 1) * std / math.sqrt(n)
    interval = (center - half_width, center + half_width)
    return Summary(mean=center, std=std, n=n, ci95=interval, values=tuple(values))


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution with that many degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(degrees, probability))
