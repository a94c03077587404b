"""What the protocol adds to a report: how rates were chosen, and what test says beside the primary figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from frod.evaluation import formatting as show
from frod.evaluation.metrics import BEST_EPOCH, METRICS
from frod.evaluation.runs import pair_label, stopped, word
from frod.evaluation.statistics import over_seeds
from frod.reporting.cells import Cell, cell
from frod.reporting.comparison import Comparison
from frod.reporting.naming import metric_label, run_page
from frod.reporting.report import Report

if TYPE_CHECKING:
    import pandas as pd

PROTOCOLS = {
    "audited": "Audited protocol: what was chosen was chosen on validation; test was read once, after the last step.",
    "released": (
        "Released protocol, as in the authors’ scripts: test was looked at after every epoch. The figures are those of "
        "the last epoch; beside them, labelled, stand those of the epoch that was best on test itself, which is too "
        "good by as much as the choice can gain."
    ),
}


NONE_WHOLE = "None has a figure: the first one’s rates were taken."


def rates_chosen(report: Report) -> list[str]:
    """Sentences on how the learning rates came about."""
    said = []
    if report.tuning:
        numbers = sorted({len(chosen["trials"]) for chosen in report.tuning.values()})
        seeds = sorted({chosen["seed"] for chosen in report.tuning.values()})
        said.append(
            f"By trials, {' or '.join(map(str, numbers))} a task, as many for every method, each a training on seed "
            f"{', '.join(map(str, seeds))}, which is none of the runs’; the best on validation was taken, and where "
            "none has a figure the first. All trials are below."
        )
    if len(report.tuning) < report.summary.groupby(["task", "backbone", "method"]).ngroups:
        said.append(report.suite.get("rates_chosen") or "Not stated in the suite file.")
    return said


def trials(report: Report) -> list[dict[str, Any]]:
    """A row for each tuned method of each task: its trials in the grid's order, the chosen one marked."""
    return [
        {
            "task": comparison.task,
            "pair": pair_label(comparison.task, comparison.backbone),
            "look": report.looks[method],
            "href": run_page(comparison.task, comparison.backbone, method),
        }
        | found
        for comparison in report.comparisons
        for method in report.methods
        if (found := trials_of(report, comparison.task, comparison.backbone, method))
    ]


def trials_of(report: Report, task: str, backbone: str, method: str) -> dict[str, Any] | None:
    """The trials of one method on one task; None where its rates were given."""
    chosen = report.tuning.get((task, backbone, method))
    if not chosen:
        return None
    return {
        "metric": metric_label(chosen["metric"]),
        "seed": chosen["seed"],
        "taken": "The best was taken." if _has_figure(chosen) else NONE_WHOLE,
        "trials": [
            {
                "rates": ", ".join(f"{name} {show.rate(rate)}" for name, rate in trial["rates"].items()),
                "value": word(trial["undefined"]) if trial["undefined"] else show.points(trial["validation"]),
                "chosen": index == chosen["index"],
            }
            for index, trial in enumerate(chosen["trials"])
        ],
    }


def _has_figure(chosen: Mapping[str, Any]) -> bool:
    return any(trial["validation"] is not None for trial in chosen["trials"])


def further(report: Report, comparison: Comparison) -> dict[str, Any] | None:
    """Other metrics and splits of a task, as means ± spread over seeds; None where there are none."""
    runs = report.by_task[comparison.task, comparison.backbone].dropna(axis="columns", how="all")
    splits = sorted(
        name.removesuffix("_examples") for name in runs if name.startswith("test") and name.endswith("_examples")
    )
    columns = {
        f"{split}_{metric}": _title(split, metric)
        for split in splits
        for metric in METRICS
        if f"{split}_{metric}" in runs and (split, metric) != ("test", comparison.primary)
    }
    if not columns:
        return None
    rows = []
    for result in comparison.results:
        of_method = runs[runs["method"] == result.method]
        href = run_page(comparison.task, comparison.backbone, result.method)
        ended = not result.values and all(map(stopped, result.undefined.values()))
        lost = cell(result.shown, None, href) if ended else None
        cells = [lost or _mean(of_method[name], href) for name in columns]
        rows.append({"look": report.looks[result.method], "cells": cells})
    return {"columns": list(columns.values()), "rows": rows}


def _title(split: str, metric: str) -> str:
    if split == BEST_EPOCH:
        return f"{metric_label(metric)}, best epoch on test"
    where = split.removeprefix("test").removeprefix("_")
    return f"{metric_label(metric)}, {where}" if where else metric_label(metric)


def _mean(values: pd.Series, href: str) -> Cell:
    defined = [float(value) for value in values.dropna()]
    found = over_seeds(defined) if defined else None
    return cell(show.over_seeds(found), found and found.mean, href)
