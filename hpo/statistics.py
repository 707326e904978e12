"""Mean, standard deviation and confidence interval of repeated measurements."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The mean, spread and confidence interval of `n` repeated measurements.

    `std` is the sample standard deviation (divisor n - 1). `ci95` is the 95 % confidence interval
    of the mean by Student's t, as far as errors can lie in it. Both are None if n is 1, or if they
    are too large for a float. `seeds` are the seeds of the measurements, in the order of `values`.
    """

    mean: float
    std: float | None
    n: int
    ci95: tuple[float, float] | None
    values: tuple[float, ...]
    seeds: tuple[int, ...]


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean; the sum of the values may be too large for a float."""
    numbers = list(values)
    try:
        return statistics.fmean(numbers)
    except OverflowError:
        return float(statistics.mean(map(Fraction, numbers)))


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
    std = _stdev(values) if n > 1 else None
    of_values = tuple(range(n) if seeds is None else seeds)
    return Summary(
        mean=center,
        std=std,
        n=n,
        ci95=None if std is None else _interval(center, std, n, highest),
        values=tuple(values),
        seeds=of_values,
    )


def _stdev(values: Sequence[float]) -> float | None:
    """The sample standard deviation; None if it is too large for a float."""
    try:
        std = statistics.stdev(values)
    except OverflowError:
        return None
    return std if math.isfinite(std) else None


def _interval(center: float, std: float, n: int, highest: float) -> tuple[float, float] | None:
    """The 95 % confidence interval from 0 to `highest`; None if it is too large for a float."""
    half_width = t_quantile(0.975, n - 1) * std / math.sqrt(n)
    high = min(highest, center + half_width)
    return (max(0.0, center - half_width), high) if math.isfinite(high) else None


def t_quantile(probability: float, degrees: int) -> float:
    """The quantile of Student's t distribution with that many degrees of freedom."""
    from scipy.special import stdtrit  # scipy.stats takes ten times as long to import

    return float(stdtrit(degrees, probability))
