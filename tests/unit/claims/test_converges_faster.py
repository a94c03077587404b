"""Faster is who is shown to be faster, against every method of peft's; curves of known shape give known figures."""

import math
from dataclasses import replace

import made_up
import numpy as np
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, falling, figures, history, noisy, said, table
from scipy import stats

from frod.claims.converges_faster import converges_faster

AREAS = "Area under the training loss"
AGAINST = "Area under the training loss, FRoD and each other method"


def suite(paces, *, tasks=6, seeds=2, noise=0.03, **more):
    """Losses of these paces, each run's a little different."""
    found = evidence(noisy(dict.fromkeys(paces, 90.0), tasks=tasks, seeds=seeds), **more)
    rng = np.random.default_rng(0)
    losses = {key: falling(paces[key.method] * math.exp(noise * rng.normal())) for key in found.histories}
    return replace(found, histories={key: history(of) for key, of in losses.items()})


def test_faster_than_all_its_kin_is_supported_though_full_fine_tuning_is_faster_yet():
    claim = converges_faster(suite({"full_ft": 8, "frod": 12, "lora": 25, "vera": 20}))
    assert said(claim) == SHOWN
    rows = {row["FRoD against"]: row["mean"]["value"] for row in table(claim, AGAINST)}
    assert rows["full fine-tuning"] > 0 > max(rows["LoRA"], rows["VeRA"])
    assert list(figures(claim)) == [f"area less that of {method}" for method in ("LoRA", "VeRA", "full fine-tuning")]


CASES = {
    "faster than some of them": (suite({"frod": 12, "lora": 25, "vera": 12}), OPEN),
    "slower than one": (suite({"frod": 20, "lora": 25, "vera": 12}), LOST),
    "alike within noise": (suite({"frod": 20, "lora": 20.2}, noise=0.2), OPEN),
    "no other of peft's": (suite({"full_ft": 8, "frod": 12}), UNTESTED),
    "no FRoD": (suite({"full_ft": 8, "lora": 12}), UNTESTED),
    "one task with one seed": (suite({"frod": 8, "lora": 12}, tasks=1, seeds=1), UNTESTED),
    "no shared seed": (evidence({"a": {"frod": [90, None], "lora": [None, 90]}}), UNTESTED),
}


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES)
def test_the_verdict(found, expected):
    assert said(converges_faster(found)) == expected


def test_slower_than_a_method_that_lost_a_run_is_left_open_and_said():
    claim = converges_faster(made_up.diverged(suite({"frod": 20, "lora": 10}), ("task_1", "lora", 0)))
    assert said(claim) == OPEN and "Neither" not in claim["reason"]
    assert "p worse < 0.0001" in claim["reason"]
    assert "whether slower than LoRA its runs or trials without a figure leave open." in claim["reason"]


@pytest.mark.parametrize(
    ("others", "sign", "finding"),
    [
        (["lora"], -1, "shown"),
        (["lora", "vera"], -1, "shown"),
        (["lora"], 1, "contradicted"),
        (["lora", "vera"], 1, "undecided"),
        (["lora", "full_ft", "linear_probe"], 1, "contradicted"),
    ],
)
def test_slower_than_one_of_two_is_two_chances_to_be_wrong_and_faster_than_both_is_none(others, sign, finding):
    """Three tasks with t = 5.5 give p = 0.016, one-sided: after Holm over two baselines 0.032, whatever else ran."""
    found = evidence(noisy(dict.fromkeys(["frod", *others], 90.0), tasks=3, seeds=1))
    level = {("frod", t): 1.0 + sign * 0.1 * (1 + step * math.sqrt(3) / 5.5) for t, step in enumerate((-1, 0, 1))}
    histories = {key: history(np.full(100, level.get((key.method, int(key.task[-1])), 1.0))) for key in found.histories}
    claim = converges_faster(replace(found, histories=histories))
    assert claim["finding"] == finding
    of = figures(claim)["area less that of LoRA"]
    assert of["high"] < 0 or of["low"] > 0
    p = {row["FRoD against"]: row["p worse (Holm)"]["value"] for row in table(claim, AGAINST)}
    assert all(math.isnan(value) for name, value in p.items() if name not in ("LoRA", "VeRA"))
    one = stats.t.sf(sign * 5.5, 2)
    assert p["LoRA"] == pytest.approx(min(1.0, ("vera" in others) * one + one))


def test_the_area_of_a_curve_and_its_interval_over_tasks_are_those_of_scipy():
    found = suite({"frod": 12, "lora": 25}, tasks=3, seeds=1)
    claim = converges_faster(found)
    smooth = {
        key: np.convolve(of["loss"], np.ones(10) / 10, "valid").mean() / math.log(10)
        for key, of in found.histories.items()
    }
    differences = [
        smooth[(t, "small", "frod", 0)] - smooth[(t, "small", "lora", 0)] for t in ("task_0", "task_1", "task_2")
    ]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    of = figures(claim)["area less that of LoRA"]
    assert (of["value"], of["low"], of["high"]) == pytest.approx((np.mean(differences), expected.low, expected.high))
    cell = table(claim, AREAS)[1]["FRoD"]
    assert (cell["value"], cell["run"]) == (pytest.approx(smooth[("task_1", "small", "frod", 0)]), "task_1/small/frod")


def test_levels_are_counted_in_steps_and_seconds_and_runs_that_do_not_get_there_count_as_late():
    found = evidence({"a": {"frod": [90, 90, 90], "lora": [90, 90, 90]}})
    drop = np.where(np.arange(100) < 20, made_up.START, 0.0)  # below half the start in the average from step 26 on
    never = np.full(100, made_up.START)
    histories = {key: history(drop, second=0.5) for key in found.histories}
    histories[("a", "small", "lora", 0)] = histories[("a", "small", "lora", 1)] = history(never)
    claim = converges_faster(replace(found, histories=histories))
    steps, seconds = (table(claim, f"{what} to levels of the training loss") for what in ("Steps", "Seconds"))
    assert [row["to 0.5"]["text"] for row in steps] == ["26", "not reached (1 of 3 did)"]
    assert seconds[0]["to 0.5"]["value"] == pytest.approx(13.0)
    steps, seconds = table(claim, "Steps and seconds to levels, FRoD over each other method")
    assert steps["to 0.5"]["text"].endswith(", 2 of 3 pairs late")
    # Two of LoRA's three runs have all of the budget, 100 steps of 0.1 s; the third and FRoD's 26 steps of 0.5 s.
    assert steps["to 0.5"]["value"] == pytest.approx((26 / 100) ** (2 / 3))
    assert seconds["to 0.5"]["value"] == pytest.approx((13 / 10) ** (2 / 3))
    high = converges_faster(replace(found, histories=dict.fromkeys(histories, history(never))))
    assert table(high, "Steps and seconds to levels, FRoD over each other method")[0]["to 0.5"] is None


def test_a_run_that_diverged_counts_with_all_of_the_budget_at_the_pace_that_it_had():
    found = made_up.diverged(suite({"frod": 10, "lora": 20}, noise=0.0, tasks=1), ("task_0", "lora", 1), steps=50)
    steps, seconds = table(converges_faster(found), "Steps and seconds to levels, FRoD over each other method")
    whole = table(converges_faster(found), "Steps to levels of the training loss")
    frod, lora = (whole[i]["to 0.75"]["text"].partition(" ")[0] for i in (0, 1))
    assert lora == "not", "the median of one that did and one that did not"
    other = suite({"frod": 10, "lora": 20}, noise=0.0, tasks=1)
    reached = float(table(converges_faster(other), "Steps to levels of the training loss")[1]["to 0.75"]["text"])
    expected = float(frod) / math.sqrt(reached * made_up.STEPS)
    assert (steps["to 0.75"]["value"], seconds["to 0.75"]["value"]) == pytest.approx((expected, expected))


def test_ratios_of_steps_are_geometric_means():
    found = suite({"frod": 10, "lora": 20}, noise=0.0, tasks=3, seeds=1)
    (steps, _) = table(converges_faster(found), "Steps and seconds to levels, FRoD over each other method")
    rows = table(converges_faster(found), "Steps to levels of the training loss")
    at = {row["method"]: row["to 0.25"]["value"] for row in rows}
    assert steps["to 0.25"]["value"] == pytest.approx(at["FRoD"] / at["LoRA"])


@pytest.mark.parametrize(
    ("paces", "method", "kept"),
    [
        ({"frod": 12, "lora": 25}, "frod", True),
        ({"frod": 12, "lora": 25}, "frod", False),
        ({"frod": 25, "lora": 12}, "lora", True),
    ],
    ids=["not finite", "not there", "not finite, of a faster one"],
)
def test_a_loss_that_broke_is_left_out_by_name_and_does_not_help(paces, method, kept):
    found = suite(paces)
    key = ("task_2", "small", method, 1)
    histories = dict(found.histories)
    broken = histories.pop(key).assign(loss=math.nan)
    claim = converges_faster(replace(found, histories=histories | ({key: broken} if kept else {})))
    assert claim["finding"] == "undecided"
    assert method == "lora" or "task_2 on small, seed 1" in claim["reason"]


def test_a_regression_starts_where_its_runs_start():
    found = suite({"frod": 12, "lora": 25}, classes=1, tasks=2, seeds=1, noise=0.0)
    firsts = [of["loss"][:10].mean() for of in found.histories.values()]
    assert table(converges_faster(found), AREAS)[0]["start level"]["value"] == pytest.approx(np.mean(firsts))


def test_a_missing_manifest_is_named():
    with pytest.raises(ValueError, match="manifests: has none of task_0 on small"):
        converges_faster(replace(suite({"frod": 8, "lora": 12}), manifests={}))


def test_the_published_curves_are_the_known_ones_and_labelled_so():
    (found,) = [of for of in converges_faster(evidence(noisy({"frod": 90})))["tables"] if "published" in of["title"]]
    # Summarised from the authors' logs, apart from this project.
    assert found["rows"][1] == ["FRoD", 34, 53, 71, 113, 133, 0.0119]
    assert found["rows"][4] == ["LoRA", 119, 215, None, None, None, 0.6772]
    assert "not measured here" in found["note"]
