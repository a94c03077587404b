"""A match is called one only where it is shown; no difference found is not enough, and failed runs do not help."""

import math

import made_up
import pytest
from made_up import evidence, figures, noisy, table
from scipy import stats

from frod.claims.matches_full_ft import matches_full_ft

NAN = math.nan


def verdict(points, **more):
    found = matches_full_ft(evidence(points, **more))
    return found["verdict"], found["finding"]


def test_equal_methods_measured_well_are_a_match():
    found = matches_full_ft(evidence(noisy({"full_ft": 90.0, "frod": 90.0})))
    assert (found["verdict"], found["finding"]) == ("supported", "shown")
    assert "above −1 point" in found["reason"]


def test_a_clear_loss_is_contradicted_and_a_gain_supported():
    assert verdict(noisy({"full_ft": 90.0, "frod": 87.0})) == ("not_supported", "contradicted")
    assert verdict(noisy({"full_ft": 90.0, "frod": 93.0})) == ("supported", "shown")


def test_no_difference_found_in_much_noise_is_no_match_and_says_how_wide_the_interval_is():
    found = matches_full_ft(evidence(noisy({"full_ft": 90.0, "frod": 90.0}, tasks=3, spread=5.0)))
    assert (found["verdict"], found["finding"]) == ("not_supported", "undecided")
    difference = figures(found)["difference"]
    width = difference["high"] - difference["low"]
    assert f"{width:.1f} points wide" in found["reason"] and "1 point" in found["reason"]


def test_the_margin_is_the_suites():
    points = noisy({"full_ft": 90.0, "frod": 88.0})
    assert verdict(points, margin=1.0) == ("not_supported", "contradicted")
    assert verdict(points, margin=4.0) == ("supported", "shown")


def test_the_figures_are_scipys():
    points = {
        "a": {"full_ft": [90.0, 91.0], "frod": [89.5, 90.0]},
        "b": {"full_ft": [50.0, 52.0], "frod": [51.0, 51.5]},
    }
    points["c"] = {"full_ft": [70.0, 72.0], "frod": [70.0, 70.5]}
    found = matches_full_ft(evidence(points))
    means = [-0.75, 0.25, -0.75]
    expected = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    over = figures(found)["difference"]
    assert (over["value"], over["low"], over["high"]) == pytest.approx((sum(means) / 3, expected.low, expected.high))
    assert (over["unit"], over["n"]) == ("points", 3)
    rows = {row["task"]: row for row in table(found, "FRoD and full fine-tuning by task")}
    below = stats.ttest_1samp([-0.5, -1.0], -1, alternative="greater").pvalue
    others = [stats.ttest_1samp(d, -1, alternative="greater").pvalue for d in ([1.0, -0.5], [0.0, -1.5])]
    # Holm: times 3, 2, 1 from the smallest on, never falling.
    ordered = sorted([below, *others])
    corrected = [max(min(1, (3 - j) * ordered[j]) for j in range(i + 1)) for i in range(3)]
    assert rows["a on small, accuracy"]["p non-inferior (Holm)"]["value"] == pytest.approx(
        corrected[ordered.index(below)]
    )
    cell = rows["a on small, accuracy"]["difference"]
    assert (cell["value"], cell["run"]) == (pytest.approx(-0.75), "a/small/frod")
    assert rows["a on small, accuracy"]["full fine-tuning"]["text"] == "90.5 ± 0.7"


def test_a_task_that_loses_is_named_though_the_mean_matches():
    points = noisy({"full_ft": 90.0, "frod": 91.0}, tasks=12)
    points["task_3"]["frod"] = [value - 5.0 for value in points["task_3"]["full_ft"]]
    points["task_3"]["frod"][0] += 0.1
    found = matches_full_ft(evidence(points))
    assert "shown to lose more than the margin on task_3 on small" in found["reason"]
    assert figures(found)["tasks that lose more than the margin"]["value"] == 1


def test_one_task_is_decided_by_its_seeds():
    assert verdict({"a": {"full_ft": [90.0, 90.2, 89.9], "frod": [90.1, 90.1, 89.9]}}) == ("supported", "shown")
    assert verdict({"a": {"full_ft": [90.0, 90.2, 89.9], "frod": [80.1, 80.1, 79.9]}}) == (
        "not_supported",
        "contradicted",
    )


def test_one_task_with_one_seed_cannot_be_tested():
    found = matches_full_ft(evidence({"a": {"full_ft": [90.0], "frod": [90.0]}}))
    assert (found["verdict"], found["finding"]) == ("cannot_be_tested", None)
    assert table(found, "FRoD and full fine-tuning by task")[0]["non-inferior"] is None


def test_several_tasks_with_one_seed_can():
    assert verdict(noisy({"full_ft": 90.0, "frod": 90.0}, seeds=1)) == ("supported", "shown")


@pytest.mark.parametrize("absent", ["full_ft", "frod"])
def test_without_one_of_the_two_nothing_can_be_tested(absent):
    points = {
        task: {m: v for m, v in of.items() if m != absent}
        for task, of in noisy(dict.fromkeys(made_up.KINDS, 90)).items()
    }
    found = matches_full_ft(evidence(points))
    assert found["verdict"] == "cannot_be_tested" and made_up.LABELS[absent] in found["reason"]


def test_no_shared_seed_is_no_pair():
    assert verdict({"a": {"full_ft": [90.0, None], "frod": [None, 90.0]}})[0] == "cannot_be_tested"


@pytest.mark.parametrize("whole_task", [False, True])
def test_runs_that_are_not_there_are_named_and_do_not_help(whole_task):
    def without(method, points):
        points["task_0"][method] = [None] * 3 if whole_task else [*points["task_0"][method][:2], None]
        return matches_full_ft(evidence(points))

    match, loss = noisy({"full_ft": 90.0, "frod": 90.0}), noisy({"full_ft": 90.0, "frod": 80.0})
    found = without("frod", dict(match, task_0=dict(match["task_0"])))
    assert found["finding"] == "undecided" and "task_0 on small, seed 2" in found["reason"]
    assert without("full_ft", dict(match, task_0=dict(match["task_0"])))["finding"] == "shown"
    assert without("full_ft", dict(loss, task_0=dict(loss["task_0"])))["finding"] == "undecided"
    assert without("frod", dict(loss, task_0=dict(loss["task_0"])))["finding"] == "contradicted"


@pytest.mark.parametrize("sign", [1, -1])
def test_both_intervals_must_agree_on_a_match_and_on_a_loss(sign):
    """Two tasks 0.1 points apart, seeds 8: the t interval is 1.3 points wide, the bootstrap's crosses the margin."""
    shift = 0.9 if sign > 0 else -2.9
    centres = {"a": shift + 0.95, "b": shift + 1.05}
    points = {
        task: {"full_ft": [90.0, 90.0], "frod": [90.0 + centre - 4, 90.0 + centre + 4]}
        for task, centre in centres.items()
    }
    found = matches_full_ft(evidence(points))
    assert found["finding"] == "undecided" and "the bootstrap's reaches" in found["reason"]


def test_the_same_differences_on_every_seed_are_no_certainty():
    found = matches_full_ft(evidence({"a": {"full_ft": [90.0, 91.0, 92.0], "frod": [90.0, 91.0, 92.0]}}))
    assert (found["verdict"], found["finding"]) == ("not_supported", "undecided")
    assert "All 3 differences are the same" in found["reason"]


def test_runs_that_failed_do_not_help_to_a_match_or_a_loss():
    points = noisy({"full_ft": 90.0, "frod": 90.0})
    points["task_0"]["frod"][1] = NAN
    found = matches_full_ft(evidence(points))
    assert found["finding"] == "undecided" and "task_0 on small, seed 1" in found["reason"]
    points = noisy({"full_ft": 90.0, "frod": 80.0})
    points["task_0"]["full_ft"][1] = NAN
    assert verdict(points) == ("not_supported", "undecided")
    points = noisy({"full_ft": 90.0, "frod": 90.0})
    points["task_0"]["full_ft"][1] = NAN
    assert verdict(points) == ("supported", "shown"), "left out to FRoD's disadvantage, if anything"


def test_all_methods_are_set_beside_the_reference():
    found = matches_full_ft(evidence(noisy({"full_ft": 90.0, "frod": 90.0, "lora": 80.0})))
    rows = {row["method"]: row for row in table(found, "All methods and full fine-tuning")}
    assert list(rows) == ["FRoD", "LoRA"]
    assert rows["LoRA"]["difference to full fine-tuning"]["value"] == pytest.approx(-10, abs=0.5)
    assert rows["LoRA"]["p different (Holm)"]["value"] < 1e-6
    assert rows["LoRA"]["tasks non-inferior"] == 0
