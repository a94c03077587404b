"""On made-up suites of known truth the verdict on a match errs as seldom as it says, and finds what is plain to see."""

import numpy as np
import pytest
from scipy import stats

from frod.claims.matches_full_ft import decide
from frod.evaluation import inference

MARGIN = 1.0
ONE_SIDED = 0.025


def datasets(rng, count, tasks, seeds, *, mean, between, within):
    """Many suites at once, (suite, task, seed): tasks differ by `between`, seeds of a task by `within`."""
    centres = rng.normal(mean, between, (count, tasks, 1))
    return rng.normal(centres, within, (count, tasks, seeds))


def verdicts(data, *, draws=200):
    found = []
    for suite in data:
        groups = {str(t): dict(enumerate(values)) for t, values in enumerate(suite.tolist())}
        found.append(inference.overall(groups, draws=draws))
    return found


def at_most(rate, trials):
    """The largest count that a true rate of at most this gives but once in ten thousand times."""
    return stats.binom.ppf(1 - 1e-4, trials, rate)


TRUTHS = [
    # suites, tasks, seeds, spread between tasks, within
    (1500, 4, 2, 1.0, 0.5),
    (1500, 4, 2, 0.0, 1.0),
    (600, 8, 3, 2.0, 0.5),
    (300, 20, 5, 1.0, 1.0),
]


@pytest.mark.parametrize(("count", "tasks", "seeds", "between", "within"), TRUTHS)
def test_a_method_at_the_margin_is_seldom_called_a_match_or_a_loss(count, tasks, seeds, between, within):
    rng = np.random.default_rng(tasks)
    data = datasets(rng, count, tasks, seeds, mean=-MARGIN, between=between, within=within)
    decided = [decide(found, MARGIN) for found in verdicts(data)]
    assert decided.count("supported") <= at_most(ONE_SIDED, count)
    assert decided.count("contradicted") <= at_most(ONE_SIDED, count)


def test_one_task_at_the_margin_is_seldom_called_a_match():
    data = datasets(np.random.default_rng(3), 2000, 1, 3, mean=-MARGIN, between=0.0, within=1.0)
    decided = [decide(found, MARGIN) for found in verdicts(data)]
    assert decided.count("supported") <= at_most(ONE_SIDED, 2000)
    assert decided.count("supported") >= 2000 - at_most(1 - ONE_SIDED, 2000), "the test is exact, not idle"


def test_a_bootstrap_of_few_tasks_alone_would_be_too_narrow():
    """Why a verdict wants the t interval as well: at the margin the bootstrap of four tasks errs thrice as often."""
    data = datasets(np.random.default_rng(4), 1500, 4, 2, mean=-MARGIN, between=1.0, within=0.2)
    found = verdicts(data, draws=400)
    wrong = sum(over.bootstrap.low > -MARGIN for over in found)
    assert wrong > at_most(3 * ONE_SIDED, 1500)


def test_what_is_equal_and_measured_well_is_called_a_match_and_a_loss_a_loss():
    rng = np.random.default_rng(5)
    equal = datasets(rng, 100, 20, 5, mean=0.0, between=0.5, within=0.5)
    worse = datasets(rng, 100, 20, 5, mean=-2.0, between=0.5, within=0.5)
    assert [decide(found, MARGIN) for found in verdicts(equal)].count("supported") >= 99
    assert [decide(found, MARGIN) for found in verdicts(worse)].count("contradicted") >= 99


def test_over_tasks_a_false_finding_is_as_rare_as_for_one():
    """Family-wise error after Holm: eight tasks, six of them at the margin, two clearly above it."""
    rng = np.random.default_rng(6)
    count = 700
    means = np.array([-MARGIN] * 6 + [3.0] * 2)
    data = rng.normal(means[None, :, None], 1.0, (count, 8, 3))
    each = [[inference.non_inferiority_p(task, MARGIN) for task in suite.tolist()] for suite in data]
    corrected = [inference.holm(p_values) for p_values in each]
    assert sum(min(p[:6]) < ONE_SIDED for p in corrected) <= at_most(ONE_SIDED, count)
    assert sum(min(p[:6]) < ONE_SIDED for p in each) > at_most(ONE_SIDED, count), "uncorrected it would be too many"


@pytest.mark.parametrize(("tasks", "seeds"), [(3, 2), (8, 3), (24, 5)])
def test_standard_deviations_that_are_alike_are_seldom_told_apart(tasks, seeds):
    """Of two seeds the log ratio is far from normal; its t test over tasks keeps its level all the same."""
    rng = np.random.default_rng(7)
    count = 800
    ours, other = (rng.normal(size=(count, tasks, seeds)).std(axis=-1, ddof=1) for _ in range(2))
    p = [inference.difference_p(ratios) for ratios in np.log(ours / other).tolist()]
    assert sum(value < 0.05 for value in p) <= at_most(0.05, count)
