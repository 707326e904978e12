"""Mean, standard deviation and confidence interval of repeated measurements."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The mean, spread and confidence interval of `n` repeated measurements.

    `std` is the sample standard deviation (divisor n - 1). `ci95` is the 95 % confidence interval
    of the mean by Student's t, as far as errors can lie in it. Both are None if n is 1. `seeds` are
    the seeds of the measurements, in the order of `values`.
    """

    mean: float
    std: float | None
    n: int
    ci95: tuple[float, float] | None
    values: tuple[float, ...]
    seeds: tuple[int, ...]


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    return statistics.fmean(values)


def are_fractions(errors: Iterable[float], n_examples: int) -> bool:
    """Whether each error is a share of `n_examples` examples, so that no error can exceed 1.

    A share is a whole number of examples. Other errors, such as a mean distance, are not, but for
    unlikely chances; they have no upper limit.
    """
    counts = [error * n_examples for error in errors]
    return all(0 <= n <= n_examples and abs(n - round(n)) < 1e-6 for n in counts)


def summarize(
    values: Sequence[float], seeds: Sequence[int] | None = None, *, highest: float = math.inf
) -> Summary | None:
    """The summary of errors, which can lie between 0 and `highest`; None if there are none.

    They were measured with `seeds`, else with 0, 1, 2, ...
    """
    if not values:
        return None
    center, n = mean(values), len(values)
    std, interval = None, None
    if n > 1:
        std = statistics.stdev(values)
        half_width = t_quantile(0.975, n - 1) * std / math.sqrt(n)
        interval = (max(0.0, center - half_width), min(highest, center + half_width))
    of_values = tuple(range(n) if seeds is None else seeds)
    return Summary(mean=center, std=std, n=n, ci95=interval, values=tuple(values), seeds=of_values)


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution with that many degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(degrees, probability))
