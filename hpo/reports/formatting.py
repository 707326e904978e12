"""How numbers look on a screen; JSON and tables keep fractions and seconds."""

from typing import Any

from hpo.statistics import Summary


def percent(fraction: float | None) -> str:
    """An error as a percentage with two decimals."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def summary(measured: Summary | None) -> str:
    """Mean ± standard deviation, with the number of runs."""
    if measured is None:
        return "-"
    spread = "" if measured.std is None else f" ± {100 * measured.std:.2f}"
    return f"{100 * measured.mean:.2f}{spread} % (n = {measured.n})"


def interval(measured: Summary | None) -> str:
    """The 95 % interval of a mean."""
    if measured is None or measured.ci95 is None:
        return "-"
    low, high = measured.ci95
    return f"{100 * low:.2f} to {100 * high:.2f} %"


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def last_line(failure: str | None) -> str | None:
    """Why work failed, in short; None where it did not."""
    return None if failure is None else failure.strip().splitlines()[-1]


def value(parameter: Any) -> str:
    """A hyperparameter's value, floats with four digits."""
    return f"{parameter:.4g}" if isinstance(parameter, float) else str(parameter)


def params(values: dict[str, Any]) -> str:
    """A configuration on one line."""
    return ", ".join(f"{name}={value(each)}" for name, each in values.items())
