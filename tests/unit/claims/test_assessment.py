"""All claims together: a form that JSON holds, the same from the same files, whatever is missing, and in seconds."""

import json
import math
import re
import time
from dataclasses import replace

import made_up
import numpy as np
import pandas as pd
import pytest
from made_up import evidence, noisy, rates

from frod.claims import assess

IDS = ["matches_full_ft", "converges_faster", "more_robust", "full_rank"]
VERDICTS = {"supported": {"shown"}, "not_supported": {"contradicted", "undecided"}, "cannot_be_tested": {None}}


def whole(tasks=4, seeds=3, methods=made_up.KINDS):
    points = noisy(dict.fromkeys(methods, 90.0), tasks=tasks, seeds=seeds)
    tuning = {(task, "small", method): rates([0.8, 0.81]) for task in points for method in methods}
    layer = {"seed": 0, "layer": "q", "out_features": 4, "in_features": 4, "weight_norm": 1.0}
    layers = [layer | {"singular_values": [1.0, 0.5, 0.1, 0.1]}]
    spectra = {(task, "small", "frod"): pd.DataFrame(layers) for task in points}
    return evidence(points, tuning=tuning, spectra=spectra)


def check(found):
    """Hold it against what the page and the audit read."""
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    keys = ["layout", "suite", "margin_points", "confidence", "budget", "uninformative", "claims", "beside"]
    assert list(found) == keys
    assert isinstance(found["budget"]["same"], bool) and found["budget"]["reason"]
    assert [claim["id"] for claim in found["claims"]] == IDS
    for claim in found["claims"]:
        assert claim["finding"] in VERDICTS[claim["verdict"]]
        assert claim["reason"] and claim["test"] and claim["claim"] and claim["title"]
        assert not re.search(r"\b(nan|inf|None)\b", claim["reason"])
        for figure in claim["figures"]:
            assert list(figure) == ["name", "value", "low", "high", "unit", "n"]
        names = [figure["name"] for figure in claim["figures"]]
        assert len(set(names)) == len(names)
        for table in claim["tables"]:
            assert list(table) == ["title", "note", "columns", "rows"]
            for row in table["rows"]:
                assert len(row) == len(table["columns"])
                for cell in row:
                    assert cell is None or isinstance(cell, str | int | float | dict)
                    assert not isinstance(cell, dict) or list(cell) == ["value", "low", "high", "text", "run"]


def test_the_form_is_what_is_agreed():
    found = assess(whole())
    check(found)
    assert (found["layout"], found["suite"], found["margin_points"], found["confidence"]) == (2, "made_up", 1.0, 0.95)


def test_the_same_files_give_the_same_in_whatever_order_they_were_read():
    first = whole()
    fields = ("histories", "records", "tuning", "spectra", "manifests")
    turned = replace(first, **{name: dict(reversed(getattr(first, name).items())) for name in fields})
    assert json.dumps(assess(first)) == json.dumps(assess(turned)) == json.dumps(assess(whole()))


@pytest.mark.parametrize("method", made_up.KINDS)
def test_one_run_alone_is_assessed(method):
    check(assess(whole(tasks=1, seeds=1, methods=[method])))


@pytest.mark.parametrize("lacking", made_up.KINDS)
def test_a_method_may_be_missing(lacking):
    check(assess(whole(methods=[method for method in made_up.KINDS if method != lacking])))


@pytest.mark.parametrize(("tasks", "seeds"), [(1, 2), (2, 1), (2, 2)])
def test_few_tasks_and_seeds_are_assessed(tasks, seeds):
    check(assess(whole(tasks=tasks, seeds=seeds)))


def test_undefined_and_broken_runs_are_assessed():
    found = whole()
    summary = found.summary.copy()
    summary.loc[[0, 5, 20], "test"] = math.nan
    summary.loc[summary["task"] == "task_3", "test"] = math.nan
    summary.loc[summary["test"].isna(), "undefined"] = "constant: predictions do not vary"
    histories = dict(found.histories)
    for key in list(histories)[::7]:
        histories[key] = histories[key].assign(loss=math.nan)
    tuning = {key: rates([None, None], diverged=[0]) for key in found.tuning}
    check(assess(replace(found, summary=summary, histories=histories, tuning=tuning)))


@pytest.mark.parametrize("lost", [1, 9, None], ids=["one run", "nine", "all"])
def test_suites_of_which_runs_diverged_are_assessed(lost):
    found = whole()
    keys = [(key.task, key.method, key.seed) for key in found.histories]
    check(assess(made_up.diverged(found, *keys[:lost])))


def test_identical_runs_of_all_methods_show_nothing():
    points = {f"task_{t}": {method: [90.0, 90.0] for method in made_up.KINDS} for t in range(4)}
    tuning = {(task, "small", method): rates([0.8, 0.8]) for task in points for method in made_up.KINDS}
    found = assess(evidence(points, tuning=tuning))
    check(found)
    assert found["budget"]["same"]
    assert "supported" not in [claim["verdict"] for claim in found["claims"]]


def test_a_thousand_runs_take_seconds():
    """24 tasks, eight methods, five seeds: 960 runs of 600 steps."""
    kinds = made_up.KINDS | {name: "peft" for name in ("dora", "pissa", "randlora")}
    points = noisy(dict.fromkeys(kinds, 90.0), tasks=24, seeds=5)
    tuning = {(task, "small", method): rates([0.8, 0.81, 0.82]) for task in points for method in kinds}
    found = replace(evidence(points, tuning=tuning), kinds=kinds)
    long = made_up.history(made_up.falling(50, steps=600) + 0.01 * np.random.default_rng(0).random(600))
    found = replace(found, histories=dict.fromkeys(found.histories, long))
    began = time.process_time()
    check(assess(found))
    assert time.process_time() - began < 10
