"""FRoD with one thing changed is set against FRoD: differences as scipy has them, in each quantity's own direction."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_up import evidence, rates
from scipy import stats

from frod.claims.ablation import ablation
from frod.provenance.run_keys import RunKey

POINTS = {
    "digits": {"frod": [88.0, 86.0, 89.0], "svd": [91.0, 90.0, 90.5], "lora": [90.0, 91.0, 89.0]},
    "sums": {"frod": [80.0, 84.0, 82.0], "svd": [83.0, 83.0, 84.0], "lora": [70.0, 79.0, 88.0]},
}
KINDS = {"frod": "frod", "svd": "frod", "lora": "peft"}
SECONDS = {"frod": 10.0, "svd": 5.0, "lora": 20.0}
LABELS = {"frod": "FRoD", "svd": "per-layer basis", "lora": "LoRA"}
WHOLE, DIGITS = 0, 1


@pytest.fixture(scope="module")
def whole():
    """Three seeds of three methods on two tasks, with trials, checks during training and spectra."""
    tuning = {
        (task, "small", m): rates([0.1 * i, 0.1 * i + 0.2]) for task in POINTS for i, m in enumerate(KINDS, start=1)
    }
    layer = {"layer": "q", "out_features": 2, "in_features": 2, "weight_norm": 1.0}
    spectra = {
        (task, "small", method): pd.DataFrame(
            [{"seed": seed} | layer | {"singular_values": [1.0, second]} for seed in range(3)]
        )
        for task in POINTS
        for method, second in (("frod", 1.0), ("svd", 0.0), ("lora", 1.0))
    }
    found = evidence(POINTS, tuning=tuning, spectra=spectra)
    histories = {
        key: history.assign(
            validation_accuracy=[*[np.nan] * 49, 0.5, *[np.nan] * 49, POINTS[key.task][key.method][key.seed] / 100]
        )
        for key, history in found.histories.items()
    }
    records = {
        key: record | {"resources": {"train_seconds": SECONDS[key.method] * (1 + key.seed)}}
        for key, record in found.records.items()
    }
    summary = found.summary.assign(
        adapter_parameters=[{"frod": 100, "svd": 150, "lora": 400}[m] for m in found.summary["method"]]
    )
    return replace(found, summary=summary, histories=histories, records=records, kinds=KINDS, labels=LABELS)


def row(section, table, method):
    of = section["tables"][table]
    return next(dict(zip(of["columns"], cells)) for cells in of["rows"] if cells[0] == LABELS[method])


@pytest.mark.parametrize("method", ["svd", "lora"])
def test_on_a_task_the_difference_is_the_paired_one(whole, method):
    cell = row(ablation(whole), DIGITS, method)["test metric, points"]
    expected = stats.ttest_rel(POINTS["digits"][method], POINTS["digits"]["frod"])
    assert cell["value"] == pytest.approx(np.mean(POINTS["digits"][method]) - np.mean(POINTS["digits"]["frod"]))
    assert (cell["low"], cell["high"]) == pytest.approx(tuple(expected.confidence_interval(0.95)))


@pytest.mark.parametrize("method", ["svd", "lora"])
def test_over_tasks_only_the_seeds_are_left_to_chance(whole, method):
    """Half of a sum of two means: scipy's Welch interval of one task's differences against the other's, negated."""
    digits, sums = (np.subtract(of[method], of["frod"]) for of in POINTS.values())
    expected = stats.ttest_ind(digits, -sums, equal_var=False).confidence_interval(0.95)
    cell = row(ablation(whole), WHOLE, method)["test metric, points"]
    assert cell["value"] == pytest.approx((digits.mean() + sums.mean()) / 2)
    assert (cell["low"], cell["high"]) == pytest.approx((expected.low / 2, expected.high / 2))
    forest = ablation(whole)["forests"][0]
    drawn = next(of for of in forest["rows"] if of["method"] == method)
    assert (drawn["value"], drawn["low"], drawn["high"]) == pytest.approx((cell["value"], cell["low"], cell["high"]))
    assert forest["more_is_better"] and not ablation(whole)["forests"][1]["more_is_better"]


def test_each_quantity_is_its_own(whole):
    """By hand: the area halves the points, the boxes' means are 20 and 30, of two ranks one is lost; then ratios."""
    found = row(ablation(whole), WHOLE, "svd")
    gap = np.mean([np.subtract(of["svd"], of["frod"]).mean() for of in POINTS.values()])
    assert found["test loss"]["value"] == pytest.approx(-gap / 100)
    assert found["area under validation, points"]["value"] == pytest.approx(gap / 2)
    assert found["mean over the box, points"]["value"] == pytest.approx(10.0)
    assert found["mean over the box, points"]["low"] is None or np.isnan(found["mean over the box, points"]["low"])
    assert found["rank, points"]["value"] == pytest.approx(-50.0)
    assert found["numbers, ratio"]["value"] == pytest.approx(1.5)
    assert found["seconds of training, ratio"]["value"] == pytest.approx(0.5)


def test_the_first_row_of_a_task_has_frod_s_own_figures(whole):
    found = row(ablation(whole), DIGITS, "frod")
    assert found["test metric, points"]["value"] == pytest.approx(np.mean(POINTS["digits"]["frod"]))
    assert found["seconds of training, ratio"]["value"] == pytest.approx(20.0)
    assert found["mean over the box, points"]["value"] == pytest.approx(20.0)


def test_other_forms_of_frod_come_first(whole):
    order = replace(whole, labels={name: LABELS[name] for name in ("lora", "frod", "svd")})
    assert [cells[0] for cells in ablation(order)["tables"][WHOLE]["rows"]] == ["per-layer basis", "LoRA"]


def test_a_run_that_diverged_is_in_no_difference(whole):
    summary = whole.summary.copy()
    lost = (summary["task"] == "digits") & (summary["method"] == "svd") & (summary["seed"] == 1)
    summary.loc[lost, ["test", "undefined"]] = np.nan, "diverged: step 7 of 100: loss nan"
    on_test = {key: of for key, of in whole.on_test.items() if key != RunKey("digits", "small", "svd", 1)}
    found = row(ablation(replace(whole, summary=summary, on_test=on_test)), DIGITS, "svd")
    for name, gap in (("test metric, points", 2.25), ("area under validation, points", 1.125), ("test loss", -0.0225)):
        assert found[name]["value"] == pytest.approx(gap)
    assert found["seconds of training, ratio"]["value"] == pytest.approx(0.5)


def test_an_area_with_an_undefined_check_is_in_no_difference(whole):
    histories = dict(whole.histories)
    lost = RunKey("digits", "small", "svd", 1)
    histories[lost] = histories[lost].assign(validation_accuracy=[*[np.nan] * 99, 0.9])
    found = row(ablation(replace(whole, histories=histories)), DIGITS, "svd")
    assert found["area under validation, points"]["value"] == pytest.approx(1.125)
    assert found["test metric, points"]["value"] != pytest.approx(2.25)


def test_of_one_task_there_is_no_mean_over_tasks(whole):
    one = replace(whole, summary=whole.summary[whole.summary["task"] == "digits"])
    assert [table["title"] for table in ablation(one)["tables"]] == ["Each method less FRoD: digits on small"]
    assert len(ablation(whole)["tables"]) == 3


@pytest.mark.parametrize("kinds", [{"frod": "frod", "svd": "peft"}, {"frod": "peft", "svd": "frod"}])
def test_a_suite_with_one_form_of_frod_has_no_such_section(whole, kinds):
    alone = {task: {m: of[m] for m in kinds if kinds[m] == "frod"} for task, of in POINTS.items()}
    assert ablation(replace(evidence(alone), kinds=kinds)) is None
