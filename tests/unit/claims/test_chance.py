"""Where full fine-tuning itself may have guessed, verdicts say so, and the mean over tasks does without the task."""

import pytest
from made_up import ROWS, evidence
from scipy.stats import binom

from frod.claims import assess
from frod.claims.chance import uninformative


def suite(reference, classes=4):
    """One task with this accuracy of full fine-tuning, and one on which it is good."""
    return evidence(
        {"t": {"full_ft": reference, "frod": [30.0]}, "good": {"full_ft": [90.0], "frod": [90.0]}}, classes=classes
    )


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_the_least_accuracy_above_chance_is_that_of_the_exact_test(classes):
    least = int(binom.isf(0.05, ROWS, 1 / classes)) + 1  # right answers that chance gives in less than 5 % of cases
    assert set(uninformative(suite([100 * least / ROWS], classes))) == set()
    assert set(uninformative(suite([100 * (least - 1) / ROWS], classes))) == {("t", "small")}


def test_seeds_are_taken_together_and_those_without_a_figure_left_out():
    assert set(uninformative(suite([20.0, 50.0, float("nan")]))) == set()
    (why,) = uninformative(suite([20.0, 30.0, float("nan")])).values()
    p = binom.sf(99, ROWS, 1 / 4)
    assert why == f"100 of {ROWS} right on average, where one of 4 classes at random gives 100: p {p:.3f}"


def test_verdicts_say_so_and_are_the_same():
    found, without = (assess(suite([value])) for value in (25.0, 60.0))
    assert found["uninformative"] == [
        {"task": "t", "backbone": "small", "why": next(iter(uninformative(suite([25.0])).values()))}
    ]
    assert without["uninformative"] == []
    for claim in found["claims"]:
        assert "On t on small, which counts here" in claim["reason"]


def test_other_metrics_than_accuracy_are_not_judged():
    study = suite([25.0])
    study.summary["primary"] = "f1"
    assert uninformative(study) == {}
