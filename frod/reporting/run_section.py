"""What was run: data and budget, learning rates and settings, as the records and histories have them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.evaluation import formatting as show
from frod.evaluation.runs import pair_label
from frod.reporting.cells import Cell, cell
from frod.reporting.naming import run_page
from frod.reporting.report import Report


def budgets(report: Report) -> list[dict[str, Any]]:
    """A row per task: examples of each split, and the budget that all methods had; links lead to the first method."""
    trained_on: dict[tuple[str, str], set[int]] = {}
    for key, record in report.records.items():
        trained_on.setdefault(key[:2], set()).update(_trained_on(record))
    return [_budget(report, pair, runs, trained_on[pair]) for pair, runs in report.by_task.items()]


def _budget(report: Report, pair: tuple[str, str], runs: pd.DataFrame, trained_on: set[int]) -> dict[str, Any]:
    manifest = report.manifests.get(pair) or {}
    splits = manifest.get("splits") or {}
    first = next(method for method in report.methods if method in set(runs["method"]))
    href = run_page(*pair, first)

    def part(split: str, used: Sequence[int]) -> Cell:
        """How many examples of a split were used, and of how many where that is fewer than all."""
        available = (splits.get(split) or {}).get("rows")
        if not used:
            return cell(show.count(available), available, href)
        text = show.count_range(list(used))
        if available is not None and list(used) != [available]:
            text += f" of {show.count(available)}"
        return cell(text, min(used), href)

    epochs = ", ".join(sorted({show.plain(float(value)) for value in runs["epochs"]}))
    return {
        "pair": pair_label(*pair),
        "cells": [
            part("train", sorted(trained_on)),
            *(part(split, [int(runs[f"{split}_examples"].max())]) for split in ("validation", "test")),
            cell(epochs, runs["epochs"].min(), href),
            *(
                cell(show.count_range([int(value) for value in runs[column]]), int(runs[column].min()), href)
                for column in ("steps", "batch_size", "examples")
            ),
        ],
        "orders": [f"seed {seed}: {order[:8]}" for seed, order in runs.groupby("seed")["order_sha256"].first().items()],
        "source": _source(manifest),
    }


def _trained_on(record: Mapping[str, Any]) -> set[int]:
    known = (record.get("budget") or {}).get("train_examples")
    return set() if known is None else {known}


def _source(manifest: Mapping[str, Any]) -> str:
    source = manifest.get("source") or {}
    what = source.get("what") if isinstance(source, Mapping) else source
    what = what if isinstance(what, str) else json.dumps(what, sort_keys=True) if what else show.DASH
    revision = source.get("revision") if isinstance(source, Mapping) else None
    return f"{what} @ {str(revision)[:12]}" if revision else what


def methods(report: Report) -> list[dict[str, Any]]:
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
            "href": run_page(comparison.task, comparison.backbone, method),
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


def training(report: Report) -> list[str]:
    """What the optimiser was told beside rates and budget, the same for all methods; a line for each variant."""
    tabled = ("epochs", "batch_size", "accumulation", "max_train", "max_validation", "checkpoint_seconds")
    found: dict[str, int] = {}
    for key in sorted(report.records):
        training = (report.records[key].get("spec") or {}).get("training") or {}
        text = show.plain({name: value for name, value in training.items() if name not in tabled})
        found[text] = found.get(text, 0) + 1
    lines = {text: runs for text, runs in found.items() if text}
    return [text if len(lines) == 1 else f"{text} ({show.number(runs, 'run')})" for text, runs in lines.items()]
