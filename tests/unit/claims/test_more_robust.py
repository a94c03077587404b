"""Robust is less spread over seeds and over rates, on tasks enough to tell; a narrow grid or failures do not help."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up import LOST, OPEN, SHOWN, UNTESTED, evidence, figures, rates, said, table

from frod.claims.more_robust import more_robust

STEADY, WIDE = {"frod": 0.1, "lora": 1.0}, {"frod": 1.0, "lora": 10.0}
UNSTEADY, WIDER = {"frod": 1.0, "lora": 0.1}, {"frod": 10.0, "lora": 1.0}
SEEDS = "standard deviation over seeds, over that of LoRA"


def suite(spreads=STEADY, ranges=WIDE, *, tasks=8, seeds=5, span=10.0):
    """Test figures of these standard deviations over seeds, and trials of these ranges over rates, noise apart.

    FRoD's rates differ by the factor `span`, those of the others by 10.
    """
    rng = np.random.default_rng(0)
    points, tuning = {}, {}
    for t in range(tasks):
        points[f"task_{t}"] = {m: rng.normal(80, spread, seeds).tolist() for m, spread in spreads.items()}
        for method, of in ranges.items():
            wide = of * math.exp(0.1 * rng.normal())
            tried = rates([0.8 - wide / 100, 0.8], span=span if method == "frod" else 10.0)
            tuning[f"task_{t}", "small", method] = tried
    return evidence(points, tuning=tuning)


THREE = (STEADY | {"vera": 0.1}, WIDE | {"vera": 10.0})
CASES = {
    "less spread in both senses": (suite(), SHOWN, ""),
    "more spread over seeds": (suite(UNSTEADY), LOST, ""),
    "more spread over rates": (suite(ranges=WIDER), LOST, ""),
    "alike": (suite({"frod": 1.0, "lora": 1.0}), OPEN, ""),
    "a narrower grid does not make it more robust": (suite(span=2.0), OPEN, "narrower than that of LoRA"),
    "a wider one does not stand in the way": (suite(span=50.0), SHOWN, ""),
    "nor does it make it less robust": (suite(ranges=WIDER, span=50.0), OPEN, ""),
    "two tasks are too few": (suite(tasks=2), UNTESTED, "at most 2"),
    "no trials": (suite(ranges={}), OPEN, "range over learning rates"),
    "one seed": (suite(seeds=1), OPEN, "standard deviation over seeds"),
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
    of = figures(more_robust(found))[SEEDS]
    assert of["value"] == pytest.approx(math.exp(np.mean(np.log(by["frod"] / by["lora"]))))
    assert of["low"] < of["value"] < of["high"] and of["n"] == 4


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
    assert "1 diverged" in table(claim, "Range over learning rates")[1]["FRoD"]["text"]
    assert said(more_robust(failed(suite(), "lora"))) == SHOWN
    assert said(more_robust(failed(suite(ranges=WIDER), "lora"))) == OPEN


def test_a_trial_with_an_undefined_metric_is_counted_as_that():
    claim = more_robust(failed(suite(), "lora", "constant: pearson"))
    assert "1 constant" in table(claim, "Range over learning rates")[1]["LoRA"]["text"]
    rows = table(claim, "Spread of FRoD over that of each other method")
    (row,) = [row for row in rows if row["spread"] == "range over learning rates" and row["FRoD over"] == "LoRA"]
    assert row["left out: no figure"] == "task_1 on small"


def test_no_spread_at_all_is_left_out_and_speaks_for_whose_it_is():
    found = suite()
    same = found.summary.eval("method == 'lora' and task == 'task_1'")
    claim = more_robust(replace(found, summary=found.summary.assign(test=found.summary["test"].mask(same, 0.8))))
    assert claim["finding"] == "undecided"
    assert "LoRA on task_1 on small (standard deviation over seeds)" in claim["reason"]
