"""Mean, spread and interval of repeated runs, against values that are known."""

import math
import sys

import pytest
import scipy.stats
from hypothesis import assume, given
from hypothesis import strategies as st

from hpo.statistics import are_fractions, mean, summarize, t_quantile


errors = st.lists(st.floats(0.0, 1.0, allow_subnormal=False), min_size=2, max_size=30)


def test_five_runs_as_worked_out_by_hand() -> None:
    found = summarize([0.04, 0.05, 0.06, 0.05, 0.05])
    assert found is not None
    assert (found.n, found.values) == (5, (0.04, 0.05, 0.06, 0.05, 0.05))
    assert found.mean == pytest.approx(0.05)
    assert found.std == pytest.approx(math.sqrt(0.0002 / 4))  # n - 1
    half = 2.776445105 * math.sqrt(0.0002 / 4) / math.sqrt(5)  # Student's t, 4 degrees of freedom
    assert found.ci95 == pytest.approx((0.05 - half, 0.05 + half))


@given(errors)
def test_any_runs_agree_with_scipy(values: list[float]) -> None:
    assume(max(values) - min(values) > 1e-6)  # scipy warns of what is nearly identical
    found = summarize(values)
    assert found is not None
    assert found.mean == pytest.approx(sum(values) / len(values))
    assert found.std == pytest.approx(scipy.stats.tstd(values), abs=1e-12)
    error = scipy.stats.sem(values)
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, found.mean, error)
    assert found.ci95 == pytest.approx((max(0.0, low), high), abs=1e-9)


def test_an_interval_ends_where_errors_end() -> None:
    low, high = interval([0.0, 0.0, 0.01], highest=1.0)
    assert low == 0.0 < high < 1.0
    low, high = interval([1.0, 1.0, 0.97], highest=1.0)
    assert 0.0 < low < high == 1.0
    _, high = interval([0.9, 1.1])
    assert high > 2.2


def interval(errors: list[float], highest: float = math.inf) -> tuple[float, float]:
    found = summarize(errors, highest=highest)
    assert found is not None
    assert found.ci95 is not None
    return found.ci95


@pytest.mark.parametrize(
    ("values", "n", "expected"),
    [
        ([0.05, 0.35, 1.0], 20, True),
        ([7 / 290, 11 / 290], 290, True),
        ([0.05, 0.351], 20, False),  # not a whole number of examples
        ([0.05, 1.05], 20, False),  # above 1
    ],
)
def test_errors_are_fractions_if_they_count_examples(
    values: list[float], n: int, expected: bool
) -> None:
    assert are_fractions(values, n) is expected


def test_equal_runs_have_no_spread() -> None:
    found = summarize([0.25, 0.25, 0.25])
    assert found is not None
    assert (found.std, found.ci95) == (0.0, (0.25, 0.25))


def test_a_single_run_has_neither_spread_nor_interval() -> None:
    found = summarize([0.1])
    assert found is not None
    assert (found.mean, found.std, found.n, found.ci95) == (0.1, None, 1, None)


def test_no_run_has_no_summary() -> None:
    assert summarize([]) is None


@pytest.mark.parametrize("degrees", [1, 2, 4, 14, 200])
def test_quantiles_are_those_of_student(degrees: int) -> None:
    for probability in (0.025, 0.5, 0.95, 0.975):
        expected = scipy.stats.t.ppf(probability, degrees)
        assert t_quantile(probability, degrees) == pytest.approx(expected, abs=1e-12)


def test_a_mean_is_rounded_once() -> None:
    assert mean([0.1] * 10) == 0.1


def test_numbers_whose_sum_is_too_large_have_a_mean() -> None:
    most = sys.float_info.max
    assert mean([most] * 4) == most
    found = summarize([most] * 4)
    assert found is not None
    assert (found.mean, found.std, found.ci95) == (most, 0.0, (most, most))


def test_an_interval_that_is_too_wide_for_numbers_is_none() -> None:
    found = summarize([0.0, sys.float_info.max])
    assert found is not None
    assert found.mean == sys.float_info.max / 2
    assert found.std == pytest.approx(sys.float_info.max / math.sqrt(2))
    assert found.ci95 is None
