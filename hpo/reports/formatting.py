"""Number formats for people. JSON and the database hold errors as fractions, times in seconds."""

from decimal import Decimal
from typing import Any

from hpo.statistics import Summary


HUGE = 1e6
"""An error from which on a percentage is shown with an exponent."""


def percent(fraction: float | None) -> str:
    """An error as a percentage with two decimals; `-` for None."""
    return "-" if fraction is None else f"{_hundredfold(fraction)} %"


def _hundredfold(fraction: float) -> str:
    """The percentage with two decimals; with an exponent if the error is no fraction but huge."""
    if abs(fraction) < HUGE:
        return f"{100 * fraction:.2f}"
    return f"{100 * Decimal(fraction):.2e}"


def summary(measured: Summary | None) -> str:
    """The mean ± standard deviation in percent, with the number of runs; `-` for None."""
    if measured is None:
        return "-"
    spread = "" if measured.std is None else f" ± {_hundredfold(measured.std)}"
    return f"{_hundredfold(measured.mean)}{spread} % (n = {measured.n})"


def interval(measured: Summary | None) -> str:
    """The 95 % confidence interval of the mean in percent; `-` if there is none."""
    if measured is None or measured.ci95 is None:
        return "-"
    low, high = measured.ci95
    return f"{_hundredfold(low)} to {_hundredfold(high)} %"


def duration(seconds: float) -> str:
    """A duration in whole seconds, whole minutes, or hours with one decimal."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def value(parameter: Any) -> str:
    """The value of a hyperparameter; a float has four significant digits."""
    return f"{parameter:.4g}" if isinstance(parameter, float) else str(parameter)


def params(values: dict[str, Any]) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name}={value(parameter)}" for name, parameter in values.items())
