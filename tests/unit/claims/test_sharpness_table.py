"""The table of sharpness has each run's rise of the loss, and paired differences as scipy's paired t test has them."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import evidence, noisy
from scipy import stats

from frod.claims.sharpness import rises, sharpness

PLACE = {"full_ft": 0.4, "frod": 0.5, "lora": 0.6}
RISES = {"full_ft": [1.0, 2.0, 4.0], "frod": [3.0, 3.5, 4.5], "lora": [2.0, 7.0, 1.0]}


def losses(place, rises):
    """Two directions, each both ways, whose mean rises by so many per cent on each seed."""
    rows = [
        {"seed": seed, "examples": 256, "direction": direction, "step": step, "loss": place * (1 + share / 100)}
        for seed, rise in enumerate(rises)
        for direction, step, share in (
            *[(0, 0.0, 0.0), (1, -0.05, rise - 9), (1, 0.05, rise + 9)],
            *[(2, -0.05, rise + 5), (2, 0.05, rise - 5)],
        )
    ]
    return pd.DataFrame(rows)


def found(tasks=1, methods=tuple(RISES)):
    points = noisy(dict.fromkeys(methods, 90.0), tasks=tasks, seeds=3)
    tables = {
        (task, "small", method): losses(PLACE[method], [(1 + t) * rise for rise in RISES[method]])
        for t, task in enumerate(points)
        for method in methods
    }
    return evidence(points, sharpness=tables)


def rows_of(section):
    (table,) = section["tables"]
    return {(row[0], row[1]): dict(zip(table["columns"], row)) for row in table["rows"]}


def test_a_run_s_sharpness_is_the_mean_rise_over_directions_and_ways():
    of = rises(found())["task_0", "small"]
    assert {m: pytest.approx(list(RISES[m])) for m in of} == {m: list(seeds.values()) for m, seeds in of.items()}


@pytest.mark.parametrize("method", RISES)
def test_means_and_differences_are_those_of_scipy(method):
    row = next(row for (_, label), row in rows_of(sharpness(found())).items() if label == found().labels[method])
    assert row["loss in place"]["value"] == pytest.approx(PLACE[method])
    expected = stats.ttest_1samp(RISES[method], 0)
    cell = row["rise, %"]
    assert cell["value"] == pytest.approx(np.mean(RISES[method]))
    assert (cell["low"], cell["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    for other, name in (("full_ft", "full fine-tuning"), ("frod", "FRoD")):
        cell = row[f"less that of {name}"]
        if other == method:
            assert cell is None
            continue
        pairs = stats.ttest_rel(RISES[method], RISES[other])
        assert cell["value"] == pytest.approx(np.mean(RISES[method]) - np.mean(RISES[other]))
        assert (cell["low"], cell["high"]) == pytest.approx(tuple(pairs.confidence_interval(0.95)))


def test_over_tasks_the_tasks_are_the_units():
    cell = rows_of(sharpness(found(tasks=3)))["mean over 3 tasks", "LoRA"]["less that of FRoD"]
    gap = np.mean(RISES["lora"]) - np.mean(RISES["frod"])
    expected = stats.ttest_1samp([gap, 2 * gap, 3 * gap], 0)
    assert cell["value"] == pytest.approx(2 * gap)
    assert (cell["low"], cell["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_a_loss_that_is_no_number_is_no_sharpness_and_no_zero_either():
    one = found()
    for value, lost in ((math.nan, 2), (0.0, 0)):
        table = one.sharpness["task_0", "small", "lora"].copy()
        table.loc[
            (table["seed"] == 1) & (table["step"] == value if lost == 0 else table["direction"] == lost), "loss"
        ] = value
        of = rises(evidence(noisy({"lora": 90.0}, tasks=1, seeds=3), sharpness={("task_0", "small", "lora"): table}))
        assert [math.isnan(rise) for rise in of["task_0", "small"]["lora"].values()] == [False, True, False]


def test_without_runs_there_is_no_section():
    empty = pd.DataFrame({"seed": [], "examples": [], "direction": [], "step": [], "loss": []})
    points = noisy({"frod": 90.0}, tasks=1, seeds=2)
    assert sharpness(evidence(points, sharpness={("task_0", "small", "frod"): empty})) is None
    assert sharpness(evidence(points)) is None


def test_a_mean_over_some_of_the_tasks_says_over_how_many():
    of = found(tasks=4)
    few = {key: table for key, table in of.sharpness.items() if key[2] != "lora" or key[0] in ("task_0", "task_2")}
    rows = rows_of(sharpness(replace(of, sharpness=few)))
    lora, full = (rows["mean over 4 tasks", name]["less that of FRoD"]["text"] for name in ("LoRA", "full fine-tuning"))
    assert lora.endswith(", 2 tasks") and "tasks" not in full
