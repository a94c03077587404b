"""Tests, corrections and intervals over tasks agree with scipy, statsmodels and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from frod.evaluation import inference
from frod.evaluation.statistics import mean_interval

MARGIN = 1.0
ONE_SIDED = 0.025


def random_differences(n, seed=0, mean=0.3):
    return np.random.default_rng(seed).normal(mean, 1.0, n).tolist()


def over(differences):
    return mean_interval(dict(enumerate(differences)))


@pytest.mark.parametrize("chance", [0.1, 1 / 3, 0.5])
@pytest.mark.parametrize("trials", [1, 15, 300])
def test_the_binomial_test_is_scipys_to_the_bit(trials, chance):
    for successes in range(trials + 1):
        expected = stats.binomtest(successes, trials, chance, alternative="greater").pvalue
        assert inference.binomial_p(successes, trials, chance) == expected


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_t_tests_are_scipys(n):
    differences = random_differences(n, seed=n)
    expected = stats.ttest_1samp(differences, -MARGIN, alternative="greater").pvalue
    of = over(differences)
    assert inference.non_inferiority_p(of, MARGIN) == pytest.approx(expected, rel=1e-10)
    assert inference.p_value(of) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-10)
    less = stats.ttest_1samp(differences, 0, alternative="less").pvalue
    assert inference.p_value(of, alternative="less") == pytest.approx(less, rel=1e-10)


def test_two_pairs_follow_the_closed_form():
    # One degree of freedom is Cauchy: P(T > t) = 1/2 - atan(t) / pi, t = (mean + margin) / (|d| / 2).
    assert inference.non_inferiority_p(over([0.0, 1.0]), 1.0) == pytest.approx(0.5 - math.atan(3.0) / math.pi)


@pytest.mark.parametrize("seed", range(20))
def test_non_inferiority_agrees_with_the_interval(seed):
    differences = random_differences(4, seed=seed, mean=0.4)
    of = inference.overall({"task": dict(enumerate(differences))}).deciding
    assert (inference.non_inferiority_p(of, MARGIN) < ONE_SIDED) == (of.low > -MARGIN)


@pytest.mark.parametrize("differences", [[0.5], [0.5, 0.5, 0.5]], ids=["one value", "no spread"])
def test_one_value_or_no_spread_gives_no_p_value(differences):
    assert math.isnan(inference.non_inferiority_p(over(differences), MARGIN))
    assert math.isnan(inference.p_value(over(differences)))


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ValueError, match="margin is 0"):
        inference.non_inferiority_p(over([0.1, 0.2]), 0)


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5 times 4, 3, 2, 1: 0.04, 0.06, 0.06 (never falling), 0.5.
    assert inference.holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert inference.holm([]) == []


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_holm_is_statsmodels(n):
    p_values = (np.random.default_rng(n).random(n) ** 3).tolist()
    assert inference.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_a_test_that_could_not_be_done_still_counts():
    found = inference.holm([0.01, math.nan, 0.02])
    assert found[0] == pytest.approx(0.03) and found[2] == pytest.approx(0.04)
    assert math.isnan(found[1])


def test_groups_count_alike_however_many_pairs_they_have():
    found = inference.overall({"a": {0: 1.0}, "b": dict.fromkeys(range(9), 0.0)})
    assert found.over_groups.mean == pytest.approx(0.5)


def test_one_group_is_decided_by_its_own_pairs():
    found = inference.overall({"a": {0: 1.0, 1: 2.0, 2: 4.0}})
    assert found.deciding.n == 3
    assert found.fixed.low == pytest.approx(found.deciding.low), "its own pairs are all the chance there is"
    assert found.above(-3.0) and not found.above(1.0)
    with pytest.raises(ValueError, match="groups is empty"):
        inference.overall({})


def test_fixed_groups_are_welchs_and_want_two_pairs_in_each():
    a, b = random_differences(4, seed=1), random_differences(7, seed=2)
    low, high = stats.ttest_ind(a, [-value for value in b], equal_var=False).confidence_interval(0.95)
    found = inference.overall({"a": dict(enumerate(a)), "b": dict(enumerate(b))}).fixed
    assert (found.low, found.high, found.n) == pytest.approx((low / 2, high / 2, 2))
    alone = inference.overall({"a": dict(enumerate(a)), "b": {0: 1.0}}).fixed
    assert not alone.has_interval and alone.mean == pytest.approx((np.mean(a) + 1.0) / 2)


def test_families_count_alike_however_many_groups_they_have():
    groups = {name: {0: value} for name, value in zip("abcd", (1.0, 2.0, 6.0, 7.0))}
    found = inference.overall(groups).over_families({"a": "x", "b": "x", "c": "x", "d": "y"})
    expected = stats.ttest_1samp([3.0, 7.0], 0).confidence_interval(0.95)
    assert (found.mean, found.low, found.high) == pytest.approx((5.0, expected.low, expected.high))
