"""A match is called one only where it is shown; no difference found is not enough, and failed runs do not help."""

import math

import made_up
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, figures, noisy, said, table
from scipy import stats

from frod.claims.matches_full_ft import matches_full_ft

ALIKE = {"full_ft": 90.0, "frod": 90.0}
REFERENCE = [90.0, 90.2, 89.9]
BY_TASK = "FRoD and full fine-tuning by task"
CASES = {
    "equal methods measured well": (noisy(ALIKE), SHOWN, "above −1 point"),
    "a clear loss": (noisy(ALIKE | {"frod": 87.0}), LOST, ""),
    "a gain": (noisy(ALIKE | {"frod": 93.0}), SHOWN, ""),
    "one task whose seeds match": ({"a": {"full_ft": REFERENCE, "frod": [90.1, 90.1, 89.9]}}, SHOWN, ""),
    "one task whose seeds lose": ({"a": {"full_ft": REFERENCE, "frod": [80.1, 80.1, 79.9]}}, LOST, ""),
    "several tasks with one seed": (noisy(ALIKE, seeds=1), SHOWN, ""),
    "no full fine-tuning": (noisy({"frod": 90.0, "lora": 90.0}), UNTESTED, made_up.LABELS["full_ft"]),
    "no FRoD": (noisy({"full_ft": 90.0, "lora": 90.0}), UNTESTED, made_up.LABELS["frod"]),
    "no shared seed": ({"a": {"full_ft": [90.0, None], "frod": [None, 90.0]}}, UNTESTED, ""),
    "the same difference on every seed": (
        {"a": {"full_ft": [90.0, 91.0, 92.0], "frod": [90.0, 91.0, 92.0]}},
        OPEN,
        "All 3 differences are the same",
    ),
}


def judged(points, **more):
    return matches_full_ft(evidence(points, **more))


@pytest.mark.parametrize(("points", "expected", "words"), CASES.values(), ids=CASES)
def test_the_verdict_and_its_reason(points, expected, words):
    claim = judged(points)
    assert said(claim) == expected and words in claim["reason"]


def test_no_difference_found_in_much_noise_is_no_match_and_says_how_wide_the_interval_is():
    claim = judged(noisy(ALIKE, tasks=3, spread=5.0))
    assert said(claim) == OPEN
    difference = figures(claim)["difference"]
    width = difference["high"] - difference["low"]
    assert f"{width:.1f} points wide" in claim["reason"] and "1 point" in claim["reason"]


@pytest.mark.parametrize(("margin", "expected"), [(1.0, LOST), (4.0, SHOWN)])
def test_the_margin_is_the_suites(margin, expected):
    assert said(judged(noisy(ALIKE | {"frod": 88.0}), margin=margin)) == expected


def test_the_figures_are_scipys():
    points = {
        "a": {"full_ft": [90.0, 91.0], "frod": [89.5, 90.0]},
        "b": {"full_ft": [50.0, 52.0], "frod": [51.0, 51.5]},
        "c": {"full_ft": [70.0, 72.0], "frod": [70.0, 70.5]},
    }
    claim = judged(points)
    means = [-0.75, 0.25, -0.75]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    over = figures(claim)["difference"]
    assert (over["value"], over["low"], over["high"]) == pytest.approx((sum(means) / 3, expected.low, expected.high))
    assert (over["unit"], over["n"]) == ("points", 3)
    row = {row["task"]: row for row in table(claim, BY_TASK)}["a on small, accuracy"]
    below, *others = (
        stats.ttest_1samp(d, -1, alternative="greater").pvalue for d in ([-0.5, -1.0], [1.0, -0.5], [0.0, -1.5])
    )
    # Holm: times 3, 2, 1 from the smallest on, never falling.
    ordered = sorted([below, *others])
    corrected = [max(min(1, (3 - j) * ordered[j]) for j in range(i + 1)) for i in range(3)]
    assert row["p non-inferior (Holm)"]["value"] == pytest.approx(corrected[ordered.index(below)])
    assert (row["difference"]["value"], row["difference"]["run"]) == (pytest.approx(-0.75), "a/small/frod")
    assert row["full fine-tuning"]["text"] == "90.5 ± 0.7"


def test_a_task_that_loses_is_named_though_the_mean_matches():
    points = noisy({"full_ft": 90.0, "frod": 91.0}, tasks=12)
    points["task_3"]["frod"] = [value - 5.0 for value in points["task_3"]["full_ft"]]
    points["task_3"]["frod"][0] += 0.1
    claim = judged(points)
    assert "shown to lose more than the margin on task_3 on small" in claim["reason"]
    assert figures(claim)["tasks that lose more than the margin"]["value"] == 1


def test_one_task_with_one_seed_cannot_be_tested():
    claim = judged({"a": {"full_ft": [90.0], "frod": [90.0]}})
    assert said(claim) == UNTESTED
    assert table(claim, BY_TASK)[0]["non-inferior"] is None


GONE = {
    "one run": lambda seeds: [*seeds[:2], None],
    "all runs of a task": lambda seeds: [None] * 3,
    "one run's metric": lambda seeds: [*seeds[:2], math.nan],
}


@pytest.mark.parametrize("gone", GONE.values(), ids=GONE)
@pytest.mark.parametrize(
    ("mean", "method", "finding"),
    [
        (90.0, "frod", "undecided"),
        (90.0, "full_ft", "shown"),
        (80.0, "full_ft", "undecided"),
        (80.0, "frod", "contradicted"),
    ],
)
def test_runs_that_are_not_there_or_failed_are_named_and_do_not_help(gone, mean, method, finding):
    """A gap in full fine-tuning is left out to FRoD's disadvantage, if anything: it leaves a match one."""
    points = noisy(ALIKE | {"frod": mean})
    points["task_0"][method] = gone(points["task_0"][method])
    claim = judged(points)
    assert claim["finding"] == finding
    assert finding != "undecided" or "task_0 on small, seed 2" in claim["reason"]


@pytest.mark.parametrize("shift", [0.9, -2.9], ids=["a match", "a loss"])
def test_both_intervals_must_agree_on_a_match_and_on_a_loss(shift):
    """Two tasks 0.1 points apart, seeds 8: the t interval is 1.3 points wide, the bootstrap's crosses the margin."""
    centres = {"a": 90.0 + shift + 0.95, "b": 90.0 + shift + 1.05}
    claim = judged({t: {"full_ft": [90.0, 90.0], "frod": [centre - 4, centre + 4]} for t, centre in centres.items()})
    assert claim["finding"] == "undecided" and "the bootstrap's reaches" in claim["reason"]


def test_all_methods_are_set_beside_the_reference():
    claim = judged(noisy({"full_ft": 90.0, "frod": 90.0, "lora": 80.0}))
    rows = {row["method"]: row for row in table(claim, "All methods and full fine-tuning")}
    assert list(rows) == ["FRoD", "LoRA"]
    assert rows["LoRA"]["difference to full fine-tuning"]["value"] == pytest.approx(-10, abs=0.5)
    assert rows["LoRA"]["p different (Holm)"]["value"] < 1e-6
    assert rows["LoRA"]["tasks non-inferior"] == 0
