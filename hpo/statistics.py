"""Mean, spread and interval of repeated measurements."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Repeated measurements in short; `std` (n - 1) and `ci95` are None for a single one.

    `ci95` is the 95 % interval of the mean by Student's t.
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
    """The summary of `values`; None where there are none."""
    if not values:
        return None
    middle, n = mean(values), len(values)
    if n == 1:
        return Summary(mean=middle, std=None, n=1, ci95=None, values=tuple(values))
    std = statistics.stdev(values)
    half = t_quantile(0.975, n - 1) * std / math.sqrt(n)
    interval = (middle - half, middle + half)
    return Summary(mean=middle, std=std, n=n, ci95=interval, values=tuple(values))


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t with that many degrees of freedom."""
    from scipy.special import stdtrit  # a tenth of the time that scipy.stats takes to import

    return float(stdtrit(degrees, probability))
