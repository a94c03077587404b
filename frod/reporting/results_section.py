"""The comparison: all methods on all tasks, each task's own table, and every run."""

from __future__ import annotations

from typing import Any

from frod.evaluation import formatting as show
from frod.evaluation.runs import REFERENCE, RunKey, pair_label, stopped, word
from frod.reporting import protocol
from frod.reporting.cells import Cell, cell
from frod.reporting.comparison import Comparison, MethodResult
from frod.reporting.curves import broken, by_method
from frod.reporting.drawings import names_of
from frod.reporting.naming import metric_label, run_page
from frod.reporting.report import Report


def tasks(report: Report) -> list[dict[str, Any]]:
    """What stands under each task's heading."""
    return [_task(report, comparison) for comparison in report.comparisons]


def overview(report: Report) -> list[dict[str, Any]]:
    """Means of all methods side by side, a row per task."""
    rows = []
    for comparison in report.comparisons:
        found = {result.method: _mean(comparison, result) for result in comparison.results}
        cells = [found.get(method, cell("no run")) for method in report.methods]
        rows.append({"pair": pair_label(comparison.task, comparison.backbone), "cells": cells})
    return rows


def runs(report: Report) -> list[dict[str, Any]]:
    """A row per run, methods in the order of all tables; its numbers lead to its record on the page of its method."""
    return [
        _run_row(report, row)
        for of_task in report.by_task.values()
        for row in sorted(of_task.to_dict("records"), key=lambda row: report.methods.index(row["method"]))
    ]


def _run_row(report: Report, row: dict[str, Any]) -> dict[str, Any]:
    key = RunKey(row["task"], row["backbone"], row["method"], int(row["seed"]))
    href = f"{run_page(*key[:3])}#seed-{key.seed}"
    why = report.undefined.get(key)
    test = word(why) if why else show.points(row["test"], 2)
    return {
        "pair": pair_label(key.task, key.backbone),
        "look": report.looks[key.method],
        "cells": [
            cell(str(key.seed), key.seed, href),
            cell(show.points(row["validation"], 2), row["validation"], href),
            cell(test, row["test"], href),
            cell(show.count(row["trainable_parameters"]), row["trainable_parameters"], href),
            cell(show.seconds(row["train_seconds"]), row["train_seconds"], href),
            cell(show.size(row["peak_rss_bytes"]), row["peak_rss_bytes"], href),
        ],
        "sha": Cell(row["record_sha256"][:12], None, href),
    }


def _task(report: Report, comparison: Comparison) -> dict[str, Any]:
    pair = (comparison.task, comparison.backbone)
    manifest = report.manifests.get(pair) or {}
    histories = by_method(report.histories, *pair)
    undefined = {
        key: f"{report.label(key.method)} seed {key.seed} {why.rstrip('.')}."
        for key, why in report.undefined.items()
        if key[:2] == pair
    }
    lost = [
        f"{report.label(method)} seed {seed}: loss not finite in {show.number(steps, 'step')}. The curve breaks there."
        for method, of_method in histories.items()
        for seed, history in of_method.items()
        if not stopped(report.undefined.get(RunKey(*pair, method, seed))) and (steps := broken(history))
    ]
    return {
        "task": comparison.task,
        "backbone": comparison.backbone,
        "metric": metric_label(comparison.primary),
        "examples": show.count(comparison.test_examples),
        "classes": None if manifest.get("problem") == "regression" else manifest.get("num_classes"),
        "figures": names_of(*pair),
        "rows": [_result_row(report, comparison, result) for result in comparison.results],
        "missing": [
            f"{report.label(key.method) if key.method in report.looks else key.method} seed {key.seed}"
            for key in report.missing
            if key[:2] == pair
        ],
        "broken": lost,
        "undefined": list(undefined.values()),
        "stopped": [line for key, line in undefined.items() if stopped(report.undefined[key])],
        "further": protocol.further(report, comparison),
        "chance": _one_example(comparison),
    }


def _one_example(comparison: Comparison) -> str:
    """What one test example is worth; of a correlation or an F1 no fixed amount."""
    if comparison.primary != "accuracy" or not comparison.test_examples:
        return ""
    return f"one example is {100 / comparison.test_examples:.2g} points"


def _result_row(report: Report, comparison: Comparison, result: MethodResult) -> dict[str, Any]:
    difference = result.difference
    href = run_page(comparison.task, comparison.backbone, result.method)
    if result.method == REFERENCE:
        compared = [cell("reference", 0.0), cell("")]
    elif difference is None:
        compared = [cell(show.DASH), cell(show.DASH)]
    else:
        text = show.gains(difference.low, difference.high)
        if not difference.has_interval:
            text = "one seed: none" if difference.n == 1 else "no spread: none"
        width = difference.high - difference.low
        compared = [cell(show.gain(difference.mean), difference.mean, href), cell(text, width, href)]
    return {
        "look": report.looks[result.method],
        "cells": [_mean(comparison, result), *compared, cell(str(len(result.values)), len(result.values), href)],
        "seeds": len(result.values),
        "is_reference": result.method == REFERENCE,
        "pairs": difference.n if difference else 0,
    }


def _mean(comparison: Comparison, result: MethodResult) -> Cell:
    href = run_page(comparison.task, comparison.backbone, result.method)
    return cell(result.shown, result.spread and result.spread.mean, href)
