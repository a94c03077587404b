"""Robust is less spread over seeds and more at an average rate, on tasks enough; listed rates do not count."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up import BOX, LABELS, LOST, OPEN, SHOWN, UNTESTED, evidence, figures, rates, said, table
from scipy import stats

from frod.claims.more_robust import more_robust

STEADY, WIDE = {"frod": 0.1, "lora": 1.0}, {"frod": 1.0, "lora": 10.0}
UNSTEADY, WIDER = {"frod": 1.0, "lora": 0.1}, {"frod": 10.0, "lora": 1.0}
SEEDS = "spread of the test loss over seeds, over that of LoRA"
RATES = "mean validation over the box, less that of LoRA"
AGAINST = "FRoD and each other method"


def suite(spreads=STEADY, ranges=WIDE, *, tasks=8, seeds=5, box=BOX):
    """Test losses of these standard deviations over seeds, and trials of these ranges below the best, noise apart."""
    rng = np.random.default_rng(0)
    points, tuning = {}, {}
    for t in range(tasks):
        points[f"task_{t}"] = {m: rng.normal(80, spread, seeds).tolist() for m, spread in spreads.items()}
        for method, of in ranges.items():
            wide = of * math.exp(0.1 * rng.normal())
            tried = rates([0.8 - wide / 100, 0.8], box=box)
            tuning[f"task_{t}", "small", method] = tried
    return evidence(points, tuning=tuning)


THREE = (STEADY | {"vera": 0.1}, WIDE | {"vera": 10.0})
CASES = {
    "less spread in both senses": (suite(), SHOWN, ""),
    "more spread over seeds": (suite(UNSTEADY), LOST, ""),
    "more spread over rates": (suite(ranges=WIDER), LOST, ""),
    "alike": (suite({"frod": 1.0, "lora": 1.0}), OPEN, ""),
    "rates that somebody listed": (suite(box=None), OPEN, "mean validation over the box"),
    "nor do they speak against it": (suite(ranges=WIDER, box=None), OPEN, ""),
    "choices at an edge": (
        suite(box={"lr": [9e-4, 1e-1], "lr_head": [1e-4, 1e-2]}),
        SHOWN,
        "at these rates (16 of 16 choices at the edge of their box)",
    ),
    "two tasks are too few": (suite(tasks=2), UNTESTED, "at most 2"),
    "no trials": (suite(ranges={}), OPEN, "mean validation over the box"),
    "one seed": (suite(seeds=1), OPEN, "spread of the test loss over seeds"),
    "not steadier than one of two": (suite(*THREE), OPEN, ""),
    "steadier than both": (suite(STEADY | {"vera": 1.0}, THREE[1]), SHOWN, ""),
    "no other of peft's": (suite({"frod": 0.1, "full_ft": 1.0}, {}), UNTESTED, ""),
    "no FRoD": (suite({"lora": 0.1}, {}), UNTESTED, ""),
}


@pytest.mark.parametrize(("found", "expected", "words"), CASES.values(), ids=CASES)
def test_the_verdict_and_its_reason(found, expected, words):
    claim = more_robust(found)
    assert said(claim) == expected and words in claim["reason"]


def test_the_ratio_is_the_geometric_mean_of_the_tasks():
    found = suite(tasks=4)
    by = found.summary.groupby(["task", "method"])["test"].std().unstack()
    of = figures(more_robust(found))[SEEDS]  # losses of a made-up run are its points short of 100
    assert of["value"] == pytest.approx(math.exp(np.mean(np.log(by["frod"] / by["lora"]))))
    assert of["low"] < of["value"] < of["high"] and of["n"] == 4


def test_the_loss_counts_not_the_metric():
    """All figures are the same; the losses are not."""
    rng = np.random.default_rng(0)
    tuning = suite().tuning
    points = {f"task_{t}": {method: [80.0] * 5 for method in STEADY} for t in range(8)}
    losses = {key: 0.5 + rng.normal(0, STEADY[key.method] / 100) for key in evidence(points).on_test}
    assert said(more_robust(evidence(points, tuning=tuning, losses=losses))) == SHOWN


def test_the_mean_over_rates_is_scipys():
    found = suite(tasks=4)
    means = {key: 100 * np.mean([trial["validation"] for trial in of["trials"]]) for key, of in found.tuning.items()}
    differences = [means[f"task_{t}", "small", "frod"] - means[f"task_{t}", "small", "lora"] for t in range(4)]
    expected = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    of = figures(more_robust(found))[RATES]
    assert (of["value"], of["low"], of["high"]) == pytest.approx((np.mean(differences), expected.low, expected.high))


@pytest.mark.parametrize(("baselines", "finding"), [(["lora"], "contradicted"), (["lora", "vera"], "undecided")])
def test_less_robust_than_one_is_corrected_over_methods_and_senses_and_over_no_other_method(baselines, finding):
    """Log ratios with t = 3.2 over 8 tasks: p = 0.0075, one-sided; times 2 below 0.025, times 4 above."""
    t = stats.norm.ppf(np.linspace(0.1, 0.9, 8))
    ratios = np.exp(1 + t / t.std(ddof=1) * math.sqrt(8) / 3.2)
    points, tuning = {}, {}
    for task, ratio in enumerate(ratios):
        methods = {m: [79.9, 80.1] for m in (*baselines, "full_ft")} | {"frod": [80 - ratio / 10, 80 + ratio / 10]}
        points[f"task_{task}"] = methods
        tuning |= {(f"task_{task}", "small", m): rates([0.7, 0.7 + 0.01 * task * (m == "frod")]) for m in methods}
    claim = more_robust(evidence(points, tuning=tuning))
    assert claim["finding"] == finding
    p = {row["FRoD against"]: row["p worse (Holm)"]["value"] for row in table(claim, AGAINST) if "spread" in row["of"]}
    assert p["LoRA"] == pytest.approx(2 * len(baselines) * stats.t.sf(3.2, 7)) and math.isnan(p["full fine-tuning"])


def test_a_spread_over_fewer_seeds_is_not_taken_for_a_smaller_one():
    """Standard deviations of two values are in the geometric mean 0.61 of those of five from the same source."""
    two, five = (np.random.default_rng(n).normal(size=(100_000, n)).std(axis=1, ddof=1) for n in (2, 5))
    assert np.exp(np.log(two).mean() - np.log(five).mean()) == pytest.approx(0.61, abs=0.01)
    found = suite()
    fewer = found.summary.eval("method == 'frod' and task == 'task_1' and seed > 1")
    claim = more_robust(replace(found, summary=found.summary[~fewer]))
    assert claim["finding"] == "undecided" and "task_1 on small" in claim["reason"]
    assert figures(claim)[SEEDS]["n"] == 7


def failed(found, method, why="diverged: step 3: loss nan"):
    """The same with the first trial of a method on a task without a figure."""
    key = ("task_1", "small", method)
    first, *others = found.tuning[key]["trials"]
    trials = [first | {"validation": None, "undefined": why}, *others]
    return replace(found, tuning={**found.tuning, key: {**found.tuning[key], "trials": trials}})


def test_trials_that_diverged_are_counted_and_do_not_help():
    claim = more_robust(failed(suite(), "frod"))
    assert claim["finding"] == "undecided" and "task_1 on small" in claim["reason"]
    assert "1 diverged" in table(claim, "Mean validation over the box")[1]["FRoD"]["text"]
    assert said(more_robust(failed(suite(), "lora"))) == SHOWN
    claim = more_robust(failed(suite(ranges=WIDER), "lora"))
    assert said(claim) == OPEN and "Neither" not in claim["reason"]
    assert "whether less robust than LoRA its runs or trials without a figure leave open." in claim["reason"]


def test_a_trial_with_an_undefined_metric_is_counted_as_that():
    claim = more_robust(failed(suite(), "lora", "constant: pearson"))
    assert "1 constant" in table(claim, "Mean validation over the box")[1]["LoRA"]["text"]
    rows = table(claim, AGAINST)
    (row,) = [row for row in rows if "validation" in row["of"] and row["FRoD against"] == "LoRA"]
    assert row["left out: no figure"] == "task_1 on small"


@pytest.mark.parametrize("method", ["frod", "lora"])
def test_no_spread_at_all_is_not_left_out(method):
    """Without its task the ratio would be of the others alone, to the advantage of the other method."""
    found = suite()
    same = {key: of for key, of in found.on_test.items() if key[:3] == ("task_1", "small", method)}
    claim = more_robust(
        replace(found, on_test=found.on_test | {key: of._replace(loss=0.1) for key, of in same.items()})
    )
    assert claim["finding"] == "undecided"
    assert f"No spread at all, and so no ratio: {LABELS[method]} on task_1 on small" in claim["reason"]
    worse = suite(ranges=WIDER)
    assert (
        said(
            more_robust(
                replace(worse, on_test=worse.on_test | {key: of._replace(loss=0.1) for key, of in same.items()})
            )
        )
        == LOST
    )
