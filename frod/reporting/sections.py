"""What each section of the page says: rows of finished text for the template, which only lays them out."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from frod.reporting import formatting as show
from frod.reporting import protocol
from frod.reporting.comparison import (
    CONVENTIONS,
    Comparison,
    MethodResult,
    ParameterCount,
    costs,
    parameter_counts,
)
from frod.reporting.curves import broken
from frod.reporting.drawings import names_of
from frod.reporting.environment import environment, packages
from frod.reporting.naming import REFERENCE, SUBJECT, RunKey, metric_label, pair_label
from frod.reporting.report import Report
from frod.reporting.sentences import number, sentences

ABSTRACT_SHARE = 0.0172  # trainable parameters, as the paper's abstract states them


def context(report: Report) -> dict[str, Any]:
    """The template's variables."""
    counts = parameter_counts(report.summary, report.methods, report.kinds)
    suite = report.suite
    return {
        "name": suite["name"],
        "title": suite.get("title") or suite["name"],
        "description": suite.get("description") or "",
        "cannot_show": list(suite.get("cannot_show") or []),
        "protocol": protocol.PROTOCOLS[suite.get("protocol", "audited")],
        "skipped": list(suite.get("skipped") or []),
        "rates_chosen": protocol.rates_chosen(report),
        "trials": _grouped(protocol.trials(report), "pair"),
        "sentences": sentences(report, counts),
        "missing": [key.path for key in report.missing],
        "runs_done": len(report.summary),
        "subject": report.looks.get(SUBJECT),
        "reference": report.looks.get(REFERENCE),
        "tasks": [_task(report, comparison) for comparison in report.comparisons],
        "conventions": CONVENTIONS,
        "looks": [report.looks[method] for method in report.methods],
        "overview": _overview(report),
        "counts": _grouped([_count_row(report, count) for count in counts], "backbone"),
        "bases": list(dict.fromkeys(f"{show.count_range(count.base)} on {count.backbone}" for count in counts)),
        "abstract_share": show.share(ABSTRACT_SHARE),
        "costs": _grouped(_cost_rows(report), "pair"),
        "has_gpu": bool((report.summary["peak_gpu_bytes"].fillna(0) > 0).any()),
        "budgets": _budget_rows(report),
        "training": _training(report),
        "rates": _grouped(_method_rows(report), "pair"),
        "environment": environment(report),
        "packages": packages(report),
        "runs": _grouped(_run_rows(report), "pair"),
    }


def _task(report: Report, comparison: Comparison) -> dict[str, Any]:
    manifest = report.manifests.get((comparison.task, comparison.backbone)) or {}
    lost = [
        f"{report.label(key.method)} seed {key.seed}: loss not finite in {number(broken(history), 'step')}"
        for key, history in sorted(report.histories.items())
        if (key.task, key.backbone) == (comparison.task, comparison.backbone) and broken(history)
    ]
    return {
        "task": comparison.task,
        "backbone": comparison.backbone,
        "metric": metric_label(comparison.primary),
        "examples": show.count(comparison.test_examples),
        "classes": None if manifest.get("problem") == "regression" else manifest.get("num_classes"),
        "figures": names_of(comparison.task, comparison.backbone),
        "rows": [_result_row(report, result) for result in comparison.results],
        "missing": [
            f"{report.label(key.method) if key.method in report.looks else key.method} seed {key.seed}"
            for key in report.missing
            if (key.task, key.backbone) == (comparison.task, comparison.backbone)
        ],
        "broken": lost,
        "further": protocol.further(report, comparison),
        "chance": _one_example(comparison),
    }


def _one_example(comparison: Comparison) -> str:
    """What one test example is worth; of a correlation or an F1 no fixed amount."""
    if comparison.primary != "accuracy" or not comparison.test_examples:
        return ""
    return f"one example is {100 / comparison.test_examples:.2g} points"


def _result_row(report: Report, result: MethodResult) -> dict[str, Any]:
    spread, difference = result.spread, result.difference
    return {
        "look": report.looks[result.method],
        "mean": show.points(spread.mean) if spread else "undefined",
        "spread": show.points(spread.spread) if spread and spread.n > 1 else None,
        "seeds": len(result.values),
        "undefined": ", ".join(map(str, result.undefined)),
        "is_reference": result.method == REFERENCE,
        "difference": show.signed(difference.mean) if difference else show.DASH,
        "interval": show.interval(difference.low, difference.high) if difference and difference.has_interval else None,
        "pairs": difference.n if difference else 0,
    }


def _overview(report: Report) -> list[dict[str, Any]]:
    """Means of all methods side by side, a row per task."""
    rows = []
    for comparison in report.comparisons:
        found = {result.method: _result_row(report, result) for result in comparison.results}
        pair = pair_label(comparison.task, comparison.backbone)
        rows.append({"pair": pair, "cells": [found.get(method) for method in report.methods]})
    return rows


def _grouped(rows: list[dict[str, Any]], field: str) -> list[dict[str, Any]]:
    """Rows with `span`: how many rows the field's cell goes over, on the first of them; 0 on the others."""
    for index, row in enumerate(rows):
        first = index == 0 or rows[index - 1][field] != row[field]
        length = next((i for i, other in enumerate(rows[index:]) if other[field] != row[field]), len(rows) - index)
        row["span"] = length if first else 0
    return rows


def _count_row(report: Report, count: ParameterCount) -> dict[str, Any]:
    return {
        "backbone": count.backbone,
        "look": report.looks[count.method],
        "adapter": show.count_range(count.adapter),
        "head": show.count_range(count.head),
        "total": show.count_range(count.total),
        "base": show.count_range(count.base),
        "shares": [show.share_range(count.shares[name]) for name in CONVENTIONS],
        "trains_base": report.kinds[count.method] == REFERENCE,
    }


def _cost_rows(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "pair": pair_label(row["task"], row["backbone"]),
            "look": report.looks[row["method"]],
            "step": show.seconds(row["step_seconds_median"]),
            "ratio": show.ratio(row["step_ratio"]),
            "train": show.seconds(row["train_seconds"]),
            "rss": show.size(row["peak_rss_bytes"]),
            "gpu": show.size(row["peak_gpu_bytes"]),
        }
        for row in costs(report.summary, report.methods)
    ]


def _budget_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for (task, backbone), runs in report.summary.groupby(["task", "backbone"], sort=False):
        manifest = report.manifests.get((task, backbone)) or {}
        splits = manifest.get("splits") or {}
        counted = {
            "validation": int(runs["validation_examples"].iloc[0]),
            "test": int(runs["test_examples"].iloc[0]),
        }
        seen = sorted(
            {_trained_on(report.records[key]) for key in report.records if key[:2] == (task, backbone)} - {None}
        )
        rows.append(
            {
                "pair": pair_label(task, backbone),
                "splits": [
                    _part(seen or [None], (splits.get("train") or {}).get("rows")),
                    *(_part([rows_used], (splits.get(name) or {}).get("rows")) for name, rows_used in counted.items()),
                ],
                "steps": show.count_range([int(value) for value in runs["steps"]]),
                "batch": show.count_range([int(value) for value in runs["batch_size"]]),
                "seen": show.count_range([int(value) for value in runs["examples"]]),
                "epochs": ", ".join(sorted({show.plain(float(value)) for value in runs["epochs"]})),
                "orders": [
                    f"seed {seed}: {str(of_seed['order_sha256'].iloc[0])[:8]}" for seed, of_seed in runs.groupby("seed")
                ],
                "source": _source(manifest),
            }
        )
    return rows


def _trained_on(record: Mapping[str, Any]) -> int | None:
    return (record.get("budget") or {}).get("train_examples")


def _part(used: Sequence[int | None], available: int | None) -> str:
    """How many examples of a split were used, and of how many where that is fewer than all."""
    known = [rows for rows in used if rows is not None]
    if not known:
        return show.count(available)
    text = show.count_range(known)
    return text if available is None or known == [available] else f"{text} of {show.count(available)}"


def _source(manifest: Mapping[str, Any]) -> str:
    source = manifest.get("source") or {}
    what = source.get("what") if isinstance(source, Mapping) else source
    what = what if isinstance(what, str) else json.dumps(what, sort_keys=True) if what else show.DASH
    revision = source.get("revision") if isinstance(source, Mapping) else None
    return f"{what} @ {str(revision)[:12]}" if revision else what


def _method_rows(report: Report) -> list[dict[str, Any]]:
    """Settings of a method from its records, and its rates as the optimiser had them.

    A rate is the highest of its lr column in the histories: what was done, not what was asked for.
    """
    rates: dict[tuple[str, str, str], set[str]] = {}
    settings: dict[tuple[str, str, str], set[str]] = {}
    for key in sorted(report.histories):
        history = report.histories[key]
        columns = [column for column in history.columns if column.startswith("lr_")]
        text = ", ".join(f"{column[3:]} {show.rate(float(history[column].max()))}" for column in columns)
        rates.setdefault(key[:3], set()).add(text or show.DASH)
        tuner = (report.records[key].get("spec") or {}).get("tuner") or {}
        given = {name: value for name, value in tuner.items() if name not in ("kind", "label", "arguments")}
        text = show.plain(given | (tuner.get("arguments") or {})) or show.DASH
        settings.setdefault(key[:3], set()).add(text + _matched(report.records[key]))
    return [
        {
            "pair": pair_label(comparison.task, comparison.backbone),
            "look": report.looks[method],
            "rates": " / ".join(sorted(rates[comparison.task, comparison.backbone, method])),
            "settings": " / ".join(sorted(settings[comparison.task, comparison.backbone, method])),
        }
        for comparison in report.comparisons
        for method in report.methods
        if (comparison.task, comparison.backbone, method) in rates
    ]


def _matched(record: Mapping[str, Any]) -> str:
    """What was made of a method whose size was to match another's."""
    found = (record.get("parameters") or {}).get("matched")
    if not found:
        return ""
    reached, target = show.count(found["reached"]), show.count(found["target"])
    return f"; {found['argument']} {found['value']} matches {found['to']} ({reached} for {target} adapter parameters)"


def _training(report: Report) -> list[str]:
    """What the optimiser was told beside rates and budget, the same for all methods; a line for each variant."""
    tabled = ("epochs", "batch_size", "accumulation", "max_train", "max_validation", "checkpoint_seconds")
    found: dict[str, int] = {}
    for key in sorted(report.records):
        training = (report.records[key].get("spec") or {}).get("training") or {}
        text = show.plain({name: value for name, value in training.items() if name not in tabled})
        found[text] = found.get(text, 0) + 1
    lines = {text: runs for text, runs in found.items() if text}
    return [text if len(lines) == 1 else f"{text} ({number(runs, 'run')})" for text, runs in lines.items()]


def _run_rows(report: Report) -> list[dict[str, Any]]:
    rows = []
    for row in report.summary.to_dict("records"):
        key = RunKey(row["task"], row["backbone"], row["method"], int(row["seed"]))
        folder = "/".join([report.results, *(quote(part) for part in (report.suite["name"], *key.path.split("/")))])
        rows.append(
            {
                "pair": pair_label(key.task, key.backbone),
                "look": report.looks[key.method],
                "seed": key.seed,
                "validation": show.points(row["validation"], 2),
                "test": "undefined" if math.isnan(row["test"]) else show.points(row["test"], 2),
                "train": show.seconds(row["train_seconds"]),
                "href": f"{folder}/record.json",
                "sha": row["record_sha256"][:12],
            }
        )
    return rows
