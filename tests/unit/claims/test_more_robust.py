"""Robust is less spread over seeds and over rates, on tasks enough to tell; a narrow grid or failures do not help."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up import evidence, figures, rates, table

from frod.claims.more_robust import more_robust

RATIOS = "Spread of FRoD over that of each other method"


def suite(spreads, ranges, *, tasks=8, seeds=5, spans=None, seed=0):
    """Test figures with these standard deviations over seeds, and trials with these ranges over rates, noise apart."""
    rng = np.random.default_rng(seed)
    points, tuning = {}, {}
    for t in range(tasks):
        points[f"task_{t}"] = {m: rng.normal(80, spread, seeds).tolist() for m, spread in spreads.items()}
        for method, of in ranges.items():
            wide = of * math.exp(0.1 * rng.normal())
            span = (spans or {}).get(method, 10.0)
            tuning[f"task_{t}", "small", method] = rates([0.8 - wide / 100, 0.8], span=span)
    return evidence(points, tuning=tuning)


def verdict(found):
    claim = more_robust(found)
    return claim["verdict"], claim["finding"]


STEADY = {"frod": 0.1, "lora": 1.0}
WIDE = {"frod": 1.0, "lora": 10.0}


def test_less_spread_in_both_senses_is_supported():
    assert verdict(suite(STEADY, WIDE)) == ("supported", "shown")


def test_more_spread_in_one_sense_is_contradicted():
    assert verdict(suite({"frod": 1.0, "lora": 0.1}, WIDE)) == ("not_supported", "contradicted")
    assert verdict(suite(STEADY, {"frod": 10.0, "lora": 1.0})) == ("not_supported", "contradicted")


def test_alike_is_undecided():
    assert verdict(suite({"frod": 1.0, "lora": 1.0}, WIDE)) == ("not_supported", "undecided")


def test_a_narrower_grid_does_not_make_it_more_robust_nor_a_wider_one_less():
    narrow = more_robust(suite(STEADY, WIDE, spans={"frod": 2.0}))
    assert narrow["finding"] == "undecided" and "narrower than that of LoRA" in narrow["reason"]
    assert verdict(suite(STEADY, WIDE, spans={"frod": 50.0})) == ("supported", "shown")
    assert verdict(suite(STEADY, {"frod": 10.0, "lora": 1.0}, spans={"frod": 50.0})) == ("not_supported", "undecided")


def test_two_tasks_are_too_few():
    found = more_robust(suite(STEADY, WIDE, tasks=2))
    assert found["verdict"] == "cannot_be_tested" and "at most 2" in found["reason"]


def test_without_trials_one_sense_is_open():
    found = more_robust(suite(STEADY, {}))
    assert found["finding"] == "undecided" and "range over learning rates" in found["reason"]


def test_one_seed_leaves_the_other_open():
    found = more_robust(suite(STEADY, WIDE, seeds=1))
    assert found["finding"] == "undecided" and "standard deviation over seeds" in found["reason"]


def test_all_kin_must_be_beaten():
    three = suite(STEADY | {"vera": 0.1}, WIDE | {"vera": 10.0})
    assert verdict(three) == ("not_supported", "undecided")
    assert verdict(suite(STEADY | {"vera": 1.0}, WIDE | {"vera": 10.0})) == ("supported", "shown")


def test_the_ratio_is_the_geometric_mean_of_the_tasks():
    found = suite(STEADY, WIDE, tasks=4)
    by = found.summary.groupby(["task", "method"])["test"].std().unstack()
    logs = np.log(by["frod"] / by["lora"])
    of = figures(more_robust(found))["standard deviation over seeds, over that of LoRA"]
    assert of["value"] == pytest.approx(math.exp(np.mean(logs)))
    assert of["low"] < of["value"] < of["high"] and of["n"] == 4


def test_a_spread_over_fewer_seeds_is_not_taken_for_a_smaller_one():
    """Standard deviations of two values are in the geometric mean 0.61 of those of five from the same source."""
    two, five = (np.random.default_rng(n).normal(size=(100_000, n)).std(axis=1, ddof=1) for n in (2, 5))
    assert np.exp(np.log(two).mean() - np.log(five).mean()) == pytest.approx(0.61, abs=0.01)
    found = suite(STEADY, WIDE)
    fewer = found.summary["method"].eq("frod") & found.summary["task"].eq("task_1") & found.summary["seed"].gt(1)
    claim = more_robust(replace(found, summary=found.summary[~fewer]))
    assert claim["finding"] == "undecided" and "task_1 on small" in claim["reason"]
    assert figures(claim)["standard deviation over seeds, over that of LoRA"]["n"] == 7


def failed(found, method, **trial):
    key = ("task_1", "small", method)
    trials = [dict(of) for of in found.tuning[key]["trials"]]
    trials[0] |= trial
    return replace(found, tuning={**found.tuning, key: {**found.tuning[key], "trials": trials}})


def test_trials_that_diverged_are_counted_and_do_not_help():
    gone = {"validation": None, "undefined": "diverged: step 3: loss nan"}
    found = more_robust(failed(suite(STEADY, WIDE), "frod", **gone))
    assert found["finding"] == "undecided" and "task_1 on small" in found["reason"]
    assert "1 diverged" in table(found, "Range over learning rates")[1]["FRoD"]["text"]
    assert verdict(failed(suite(STEADY, WIDE), "lora", **gone)) == ("supported", "shown")
    worse = suite(STEADY, {"frod": 10.0, "lora": 1.0})
    assert verdict(failed(worse, "lora", **gone)) == ("not_supported", "undecided")


def test_a_trial_with_an_undefined_metric_is_counted_as_that():
    found = more_robust(failed(suite(STEADY, WIDE), "lora", validation=None, undefined="constant: pearson"))
    assert "1 constant" in table(found, "Range over learning rates")[1]["LoRA"]["text"]
    rows = {(row["spread"], row["FRoD over"]): row["left out: no figure"] for row in table(found, RATIOS)}
    assert rows["range over learning rates", "LoRA"] == "task_1 on small"


def test_no_spread_at_all_is_left_out_and_speaks_for_whose_it_is():
    found = suite(STEADY, WIDE)
    same = found.summary["task"].eq("task_1") & found.summary["method"].eq("lora")
    flat = replace(found, summary=found.summary.assign(test=found.summary["test"].mask(same, 0.8)))
    claim = more_robust(flat)
    assert (
        claim["finding"] == "undecided" and "LoRA on task_1 on small (standard deviation over seeds)" in claim["reason"]
    )


def test_without_kin_nothing_can_be_tested():
    assert verdict(suite({"frod": 0.1, "full_ft": 1.0}, {})) == ("cannot_be_tested", None)
    assert verdict(suite({"lora": 0.1}, {})) == ("cannot_be_tested", None)
