"""Tests, corrections and intervals over tasks agree with scipy, statsmodels and closed forms."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from frod.evaluation import inference

MARGIN = 1.0
ONE_SIDED = 0.025


def random_differences(n, seed=0, mean=0.3):
    return np.random.default_rng(seed).normal(mean, 1.0, n).tolist()


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_the_t_tests_are_scipys(n):
    differences = random_differences(n, seed=n)
    expected = stats.ttest_1samp(differences, -MARGIN, alternative="greater").pvalue
    assert inference.non_inferiority_p(differences, MARGIN) == pytest.approx(expected, rel=1e-10)
    assert inference.difference_p(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, rel=1e-10)


def test_two_pairs_follow_the_closed_form():
    # One degree of freedom is Cauchy: P(T > t) = 1/2 - atan(t) / pi, t = (mean + margin) / (|d| / 2).
    assert inference.non_inferiority_p([0.0, 1.0], 1.0) == pytest.approx(0.5 - math.atan(3.0) / math.pi)


@pytest.mark.parametrize("seed", range(20))
def test_non_inferiority_agrees_with_the_interval(seed):
    differences = random_differences(4, seed=seed, mean=0.4)
    over = inference.overall({"task": dict(enumerate(differences))})
    assert (inference.non_inferiority_p(differences, MARGIN) < ONE_SIDED) == (over.deciding.low > -MARGIN)


@pytest.mark.parametrize("differences", [[0.5], [0.5, 0.5, 0.5]], ids=["one value", "no spread"])
def test_one_value_or_no_spread_gives_no_p_value(differences):
    assert math.isnan(inference.non_inferiority_p(differences, MARGIN))
    assert math.isnan(inference.difference_p(differences))


def test_a_margin_of_zero_is_refused():
    with pytest.raises(ValueError, match="margin is 0"):
        inference.non_inferiority_p([0.1, 0.2], 0)


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


def test_two_single_values_by_hand():
    # The mean of two draws from {0, 1} is 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
    assert inference.bootstrap([[0.0], [1.0]], confidence=0.95) == (0.0, 1.0)
    assert inference.bootstrap([[0.0], [1.0]], confidence=0.4) == (0.5, 0.5)


@pytest.mark.parametrize("lengths", [[4] * 40, [2, 3, 5, 7] * 10])
def test_the_bootstrap_has_the_variance_of_its_closed_form(lengths):
    """Drawing T of T groups, then n of n values each: (variance of group means + mean of variance / n) / T."""
    rng = np.random.default_rng(1)
    groups = [rng.normal(rng.normal(0, 2), 3, n) for n in lengths]
    between = np.var([group.mean() for group in groups])
    within = np.mean([np.var(group) / len(group) for group in groups])
    low, high = inference.bootstrap(groups, confidence=0.95)
    expected = 2 * stats.norm.ppf(0.975) * math.sqrt((between + within) / len(groups))
    assert high - low == pytest.approx(expected, rel=0.04)


def test_the_same_data_give_the_same_interval_and_other_seeds_another():
    groups = {str(task): dict(enumerate(random_differences(3, seed=task))) for task in range(6)}
    assert inference.overall(groups).bootstrap == inference.overall(groups).bootstrap
    assert inference.overall(groups, seed=1).bootstrap != inference.overall(groups).bootstrap


def test_groups_count_alike_however_many_pairs_they_have():
    found = inference.overall({"a": {0: 1.0}, "b": dict.fromkeys(range(9), 0.0)})
    assert found.over_groups.mean == pytest.approx(0.5)


def test_one_group_is_decided_by_its_own_pairs():
    found = inference.overall({"a": {0: 1.0, 1: 2.0, 2: 4.0}})
    assert found.deciding.n == 3
    assert math.isnan(found.bootstrap.low)
    assert found.above(-3.0) and not found.above(1.0)
    with pytest.raises(ValueError, match="groups is empty"):
        inference.overall({})
