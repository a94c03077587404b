"""The comparison: all methods on all tasks, each task's own table, and every run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.evaluation import formatting as show
from frod.evaluation.metrics import BEST_EPOCH, METRICS
from frod.evaluation.statistics import Difference, over_seeds
from frod.provenance.run_keys import REFERENCE, SUBJECT, RunKey, pair_label, stopped, word
from frod.reporting.cells import Cell, cell
from frod.reporting.comparison import Comparison, MethodResult, rows_of
from frod.reporting.figures import names_of
from frod.reporting.naming import metric_label, run_page
from frod.reporting.report_data import Report
from frod.reporting.thinned_curves import broken


def differences(report: Report) -> list[dict[str, Any]]:
    """The figures behind the forest plot: the method under test less the reference, by task and over tasks."""
    if report.headline is None:
        return []
    rows = [
        {"name": pair_label(*pair), "cells": _compared(found, run_page(*pair, SUBJECT))}
        for pair, found in report.headline.by_task.items()
    ]
    return rows + [
        {
            "name": f"mean over {show.number(report.headline.over_tasks.n, 'task')}",
            "cells": _compared(report.headline.over_tasks),
        }
    ] * (len(rows) > 1)


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
        for row in sorted(rows_of(of_task), key=lambda row: report.methods.index(row["method"]))
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


def _notes(report: Report, pair: tuple[str, str], manifest: Mapping[str, Any]) -> list[str]:
    """What a reader should know before the figures: chance, and examples that stand in two splits."""
    found = []
    if why := report.uninformative.get(pair):
        left_out = report.headline is not None and set(report.headline.by_task) - set(report.uninformative)
        mean = " Not in the mean over tasks." if left_out else ""
        found.append(f"Uninformative: full fine-tuning is not above chance ({why}).{mean}")
    repeated = manifest.get("duplicates") or {}
    for said, count in (repeated.get("shared") or {}).items():
        split, _, other = said.partition(" in ")
        found.append(
            f"{show.number(count, 'example')} of {split} {'stands' if count == 1 else 'stand'} in {other}, too."
        )
    if repeated.get("left_out"):
        found.append(f"{show.number(repeated['left_out'], 'example')} of other splits left out of train.")
    told = [record.get("parameters") or {} for key, record in report.records.items() if key[:2] == pair]
    if layers := sorted({name for parameters in told for name in parameters.get("degenerate", [])}):
        found.append(
            f"Any rotation would be a shared basis of {', '.join(layers)}, whose weights make up a square stack or are "
            "alike: FRoD trains there on the stack’s singular vectors."
        )
    return found


def task(report: Report, comparison: Comparison) -> dict[str, Any]:
    """What stands under a task's heading."""
    pair = (comparison.task, comparison.backbone)
    manifest = report.manifests.get(pair) or {}
    undefined = {
        key: f"{report.label(key.method)} seed {key.seed} {why.rstrip('.')}."
        for key, why in report.undefined.items()
        if key[:2] == pair
    }
    gaps = [
        f"{report.label(key.method)} seed {key.seed}: loss not finite in {show.number(n, 'step')}. The curve breaks."
        for key in sorted(report.histories)
        if key[:2] == pair and not stopped(report.undefined.get(key)) and (n := broken(report.histories[key]))
    ]
    return {
        "task": comparison.task,
        "backbone": comparison.backbone,
        "metric": metric_label(comparison.primary),
        "examples": show.count(comparison.test_examples),
        "classes": None if manifest.get("problem") in ("regression", "generation") else manifest.get("num_classes"),
        "figures": names_of(*pair),
        "rows": [_result_row(report, comparison, result) for result in comparison.results],
        "missing": [
            f"{report.label(key.method) if key.method in report.looks else key.method} seed {key.seed}"
            for key in report.missing
            if key[:2] == pair
        ],
        "broken": gaps,
        "notes": _notes(report, pair, manifest),
        "undefined": list(undefined.values()),
        "stopped": [line for key, line in undefined.items() if stopped(report.undefined[key])],
        "further": _further(report, comparison),
        # Of a correlation or an F1 an example is worth no fixed amount.
        "chance": f"one example is {100 / comparison.test_examples:.2g} points"
        if comparison.primary in ("accuracy", "exact_match") and comparison.test_examples
        else "",
    }


def _result_row(report: Report, comparison: Comparison, result: MethodResult) -> dict[str, Any]:
    difference = result.difference
    href = run_page(comparison.task, comparison.backbone, result.method)
    is_reference = result.method == REFERENCE
    compared = [cell("reference", 0.0), cell("")] if is_reference else _compared(difference, href)[:2]
    return {
        "look": report.looks[result.method],
        "cells": [_mean(comparison, result), *compared, cell(str(len(result.values)), len(result.values), href)],
        "seeds": len(result.values),
        "is_reference": is_reference,
        "pairs": difference.n if difference else 0,
    }


def _compared(found: Difference | None, href: str | None = None) -> list[Cell]:
    """A difference, its interval or why there is none, and of how many pairs."""
    if found is None:
        return [cell(show.DASH), cell(show.DASH), cell("0", 0)]
    text = show.gains(found.low, found.high)
    if not found.has_interval:
        text = "one seed: none" if found.n == 1 else "no spread: none"
    return [
        cell(show.gain(found.mean), found.mean, href),
        cell(text, found.high - found.low, href),
        cell(str(found.n), found.n, href),
    ]


def _mean(comparison: Comparison, result: MethodResult) -> Cell:
    href = run_page(comparison.task, comparison.backbone, result.method)
    return cell(result.shown, result.spread.mean if result.spread else None, href)


def _further(report: Report, comparison: Comparison) -> dict[str, Any] | None:
    """Other metrics and splits of a task, as means ± spread over seeds; None where there are none."""
    runs = report.by_task[comparison.task, comparison.backbone].dropna(axis="columns", how="all")
    names = [name for name in map(str, runs) if name.startswith("test") and name.endswith("_examples")]
    splits = sorted(name.removesuffix("_examples") for name in names)
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
        cells = [lost or _mean_of(of_method[name], href) for name in columns]
        rows.append({"look": report.looks[result.method], "cells": cells})
    return {"columns": list(columns.values()), "rows": rows}


def _title(split: str, metric: str) -> str:
    if split == BEST_EPOCH:
        return f"{metric_label(metric)}, best epoch on test"
    where = split.removeprefix("test").removeprefix("_")
    return f"{metric_label(metric)}, {where}" if where else metric_label(metric)


def _mean_of(values: pd.Series, href: str) -> Cell:
    defined = [float(value) for value in values.dropna()]
    found = over_seeds(defined) if defined else None
    return cell(show.over_seeds(found), found.mean if found else None, href)
