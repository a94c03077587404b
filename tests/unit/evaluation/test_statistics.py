"""Spread and paired intervals agree with closed forms and scipy; one seed claims neither."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from frod.evaluation import statistics


def test_spread_is_the_sample_standard_deviation():
    found = statistics.over_seeds([1.0, 2.0, 4.0])
    assert (found.mean, found.n) == (pytest.approx(7 / 3), 3)
    # Sum of squared deviations 16/9 + 1/9 + 25/9 = 14/3, divided by n - 1 = 2.
    assert found.spread == pytest.approx(math.sqrt(7 / 3))


def test_one_seed_has_no_spread_and_no_interval():
    assert math.isnan(statistics.over_seeds([0.5]).spread)
    found = statistics.paired_difference({1: 0.5}, {1: 0.25})
    assert (found.mean, found.n, found.has_interval) == (0.25, 1, False)
    assert math.isnan(found.low) and math.isnan(found.high)


def test_two_seeds_give_the_closed_form_interval():
    # With one degree of freedom t is Cauchy: its 97.5 % quantile is tan(0.475 pi); the half width is that times |d|/2.
    found = statistics.paired_difference({1: 1.0, 2: 3.0}, {1: 0.0, 2: 0.0})
    half = math.tan(0.475 * math.pi) * 1.0
    assert (found.low, found.high) == (pytest.approx(2 - half), pytest.approx(2 + half))


def test_only_shared_seeds_are_paired():
    found = statistics.paired_difference({1: 0.9, 2: 0.8, 7: 0.1}, {2: 0.7, 1: 0.7, 3: 0.0})
    assert found.pairs == (1, 2)
    assert found.each == pytest.approx((0.2, 0.1))
    assert statistics.paired_difference({1: 0.9}, {2: 0.9}) is None


finite = st.floats(-1, 1).map(lambda value: round(value, 6))


@given(
    st.lists(st.tuples(finite, finite), min_size=2, max_size=8).filter(
        lambda v: len({round(a - b, 6) for a, b in v}) > 1
    )
)
def test_interval_is_that_of_the_paired_t_test(pairs):
    left, right = zip(*pairs)
    found = statistics.paired_difference(dict(enumerate(left)), dict(enumerate(right)))
    expected = stats.ttest_rel(left, right).confidence_interval(0.95)
    assert found.low == pytest.approx(expected.low, abs=1e-9)
    assert found.high == pytest.approx(expected.high, abs=1e-9)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.over_seeds([]), "values is empty"),
        (lambda: statistics.over_seeds([1.0, math.nan]), "values holds nan"),
        (lambda: statistics.paired_difference({1: 1.0}, {1: math.inf}), "values holds -inf"),
        (lambda: statistics.mean_interval({1: 1.0}, confidence=95), "confidence is 95"),
    ],
)
def test_what_has_no_mean_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_differences_that_are_all_the_same_have_no_interval():
    """Of accuracies over few seeds that is a coincidence; also where rounding makes them differ in the last digit."""
    found = statistics.paired_difference({1: 0.9, 2: 0.8, 3: 0.7}, {1: 0.8, 2: 0.7, 3: 0.6})
    assert len(set(found.each)) > 1, "0.9 - 0.8 and 0.8 - 0.7 are not the same number"
    assert found.mean == pytest.approx(0.1)
    assert not found.has_interval
