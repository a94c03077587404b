"""A page for the runs of each method on a task: what its records hold, so that the report stands on its own.

The page of results links here from every number. The records themselves lie under results/, which may not be there
where the report is read; so each is repeated here whole.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from frod.evaluation import formatting as show
from frod.evaluation.metrics import METRICS
from frod.provenance.run_keys import REFERENCE, RunKey, stopped, word
from frod.reporting.comparison import MethodResult, rows_of
from frod.reporting.flat import flat
from frod.reporting.naming import metric_label, run_page
from frod.reporting.rendering import render
from frod.reporting.report_data import Report
from frod.reporting.tuning_section import seeds_in_words, trials_of

UP = "../../../"
"""From such a page to the report's folder."""
BOXES = {
    "Budget": "budget",
    "Parameters trained": "parameters",
    "How often each split was read": "evaluations",
    "Seeds": "seeds",
    "Resolved parameters": "spec",
    "Code": "code",
    "Environment": "environment",
}
"""Of a run's page, after metrics and times, with what of the record each holds."""
Facts = list[tuple[str, str]]


def pages(report: Report) -> dict[str, str]:
    """Every page, by its name below the report's folder."""
    found = {}
    for comparison in report.comparisons:
        # Columns that are empty for the whole task are other tasks' metrics.
        of_task = report.by_task[comparison.task, comparison.backbone].dropna(axis="columns", how="all")
        for result in comparison.results:
            where = (comparison.task, comparison.backbone, result.method)
            rows = rows_of(of_task[of_task["method"] == result.method].sort_values("seed"))
            found[run_page(*where)] = render(
                "runs.html.j2",
                {result.method: report.looks[result.method]},
                up=UP,
                suite=report.title,
                look=report.looks[result.method],
                task=comparison.task,
                backbone=comparison.backbone,
                metric=metric_label(comparison.primary),
                result=_result(report, result),
                trials=trials_of(report, *where),
                runs=[_run(report, RunKey(*where, int(row["seed"])), row) for row in rows],
            )
    return found


def _result(report: Report, result: MethodResult) -> Facts:
    seeds = {seed: show.points(value, 2) for seed, value in result.values.items()}
    seeds |= {seed: word(why) for seed, why in result.undefined.items()}
    facts = [(f"test, seed {seed}", text) for seed, text in sorted(seeds.items())]
    if result.spread:
        facts.append(("mean", show.points(result.spread.mean, 2)))
        facts.append(("standard deviation", show.points(result.spread.spread, 2)))
    if result.difference:
        found = result.difference
        facts.append((f"difference to {report.label(REFERENCE)}", f"{show.gain(found.mean, 2)} points"))
        facts.append(("its 95 % interval", show.gains(found.low, found.high, 2)))
    return facts


def _run(report: Report, key: RunKey, row: Mapping[str, Any]) -> dict[str, Any]:
    record = report.records[key]
    folder = "/".join([report.results, *(quote(part) for part in (report.suite["name"], *key.path.split("/")))])
    tuned = record.get("tuning")
    chosen = (
        f"trial {tuned['chosen'] + 1} of {tuned['trials']}, on {seeds_in_words(tuned['seeds'])}" if tuned else "none"
    )
    boxes = {title: _facts(record.get(name)) for title, name in BOXES.items()}
    boxes["Resolved parameters"].append(("rates chosen by", chosen))
    times = [(name, str(record[name])) for name in ("started", "finished") if record.get(name)]
    metrics = [] if stopped(report.undefined.get(key)) else _metrics(row)
    return {
        "seed": key.seed,
        "undefined": report.undefined.get(key, "").rstrip("."),
        "stopped": stopped(report.undefined.get(key)),
        "href": f"{UP}{folder}/record.json",
        "path": f"{report.results.rpartition('/')[2]}/{report.suite['name']}/{key.path}/record.json",
        "sha": str(row["record_sha256"]),
        "boxes": {"Metrics": metrics, "Time and memory": times + _resources(record)} | boxes,
        "files": [
            (kind, path, digest) for kind in ("inputs", "outputs") for path, digest in (record.get(kind) or {}).items()
        ],
        "record": json.dumps(record, indent=2, ensure_ascii=False),
    }


def _metrics(row: Mapping[str, Any]) -> Facts:
    """Every metric of every split, as evaluated: fractions, not points."""
    return [
        (
            f"{split}, {metric_label(metric)}, {show.count(row[f'{split}_examples'])} examples",
            "undefined" if math.isnan(row[f"{split}_{metric}"]) else f"{row[f'{split}_{metric}']:.6g}",
        )
        for split in (name.removesuffix("_examples") for name in row if name.endswith("_examples"))
        for metric in METRICS
        if f"{split}_{metric}" in row and not math.isnan(row[f"{split}_examples"])
    ]


def _resources(record: Mapping[str, Any]) -> Facts:
    found = record.get("resources") or {}
    seconds = [*(name for name in found if name.endswith("seconds")), "step_seconds_median"]
    facts = [(name, show.seconds(found.get(name))) for name in seconds]
    return facts + [(name, show.size(size)) for name, size in found.items() if name.endswith("_bytes")]


def _facts(values: Mapping[str, Any] | None) -> Facts:
    """Nested values, one a line, under names with dots."""
    return [(name, _text(value)) for name, value in flat(values or {}).items()]


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: show.DASH}[value]
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple) else str(value)
