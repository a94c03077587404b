"""What was run: data and budget, learning rates and their choice, machine and code, as the records have them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.evaluation import formatting as show
from frod.provenance.run_keys import pair_label
from frod.reporting.cells import Cell, cell
from frod.reporting.naming import run_page
from frod.reporting.report_data import Folder, Report

PROTOCOLS = {
    "audited": "Audited protocol: what was chosen was chosen on validation; test was read once, after the last step.",
    "released": (
        "Released protocol, as in the authors’ scripts: test was looked at after every epoch. The figures are those of "
        "the last epoch; next to them, labelled, stand those of the epoch that was best on test itself, which is too "
        "good by as much as the choice can gain."
    ),
}

LONGEST = 300  # characters of what a field said; report.json has all of it


def budgets(report: Report) -> list[dict[str, Any]]:
    """A row per task: examples of each split, and the budget that all methods had; links lead to the first method."""
    trained_on: dict[tuple[str, str], set[int]] = {}
    for key, record in report.records.items():
        known = (record.get("budget") or {}).get("train_examples")
        trained_on.setdefault(key[:2], set()).update(set() if known is None else {known})
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
    rates: dict[Folder, set[str]] = {}
    settings: dict[Folder, set[str]] = {}
    for key in sorted(report.histories):
        history = report.histories[key]
        columns = [column for column in history.columns if column.startswith("lr_")]
        text = ", ".join(f"{column[3:]} {show.rate(float(history[column].max()))}" for column in columns)
        rates.setdefault(key[:3], set()).add(text or show.DASH)
        adapter = (report.records[key].get("spec") or {}).get("adapter") or {}
        unsaid = ("kind", "label", "arguments")
        given = {name: value for name, value in adapter.items() if name not in unsaid and value != []}
        text = show.plain(given | (adapter.get("arguments") or {})) or show.DASH
        settings.setdefault(key[:3], set()).add(text + _matched(report.records[key]))
    return [
        start | {"rates": " / ".join(sorted(rates[where])), "settings": " / ".join(sorted(settings[where]))}
        for where, start in of_methods(report)
        if where in rates
    ]


def of_methods(report: Report) -> Iterator[tuple[Folder, dict[str, Any]]]:
    """The methods of each task, in the order of all tables, and how the row of each starts."""
    for comparison in report.comparisons:
        for method in report.methods:
            where = (comparison.task, comparison.backbone, method)
            yield where, {"pair": pair_label(*where[:2]), "look": report.looks[method], "href": run_page(*where)}


def _matched(record: Mapping[str, Any]) -> str:
    """What was made of a method whose size was to match another's."""
    found = (record.get("parameters") or {}).get("matched")
    if not found:
        return ""
    reached, target = show.count(found["reached"]), show.count(found["target"])
    return f"; {found['argument']} {found['value']} matches {found['to']} ({reached} for {target} adapter parameters)"


def training(report: Report) -> list[str]:
    """What the optimiser was told besides rates and budget, the same for all methods; a line for each variant."""
    tabled = ("epochs", "batch_size", "accumulation", "max_train", "max_validation", "checkpoint_seconds")
    found: dict[str, int] = {}
    for key in sorted(report.records):
        training = (report.records[key].get("spec") or {}).get("training") or {}
        text = show.plain({name: value for name, value in training.items() if name not in tabled})
        found[text] = found.get(text, 0) + 1
    lines = {text: runs for text, runs in found.items() if text}
    return [text if len(lines) == 1 else f"{text} ({show.number(runs, 'run')})" for text, runs in lines.items()]


def environment(report: Report) -> list[tuple[str, list[str]]]:
    """What ran the suite; several values where runs differ, each with how many runs it holds for."""
    names = ("python", "platform", "processor", "numerics", "accelerator", "threads", "deterministic")
    unsaid = {"numerics": "native", "accelerator": "none"}
    records = [report.records[key] for key in sorted(report.records)]
    found = [
        {"git commit": _commit(record["code"]), "code hash": str(record["code"]["hash"])[:12]}
        | {name: record["environment"].get(name) for name in names}
        for record in records
    ]
    rows = [(name, _tally([show.plain(one[name] or unsaid.get(name)) for one in found])) for name in found[0]]
    resumed = sum(bool(record.get("resumed_from_step")) for record in records)
    if resumed:
        rows.append(("resumed", [f"{show.number(resumed, 'run')} went on from a checkpoint"]))
    started = sorted(str(record["started"]) for record in records if record.get("started"))
    finished = sorted(str(record["finished"]) for record in records if record.get("finished"))
    if started and finished:
        rows.append(("when", [f"{_moment(started[0])} to {_moment(finished[-1])}"]))
    return rows


def since(report: Report) -> dict[str, Any] | None:
    """What was changed after the first run, in a sentence, and a row for each field."""
    found = report.since
    if found is None:
        return None
    if "unknown" in found:
        said = f"What was changed after the first run was trained cannot be told: {found['unknown']}."
        return {"said": said, "rows": []}
    what, rows = f"commit {str(found['commit'])[:12]}, by which the first run was trained.", found["changes"]
    changed = f"{show.number(len(rows), 'field')} of suite and parameters changed after {what}"
    return {
        "said": changed if rows else f"Suite and parameters are as at {what}",
        "rows": [[one["field"], *(_short(show.plain(one[side])) for side in ("then", "now"))] for one in rows],
    }


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _moment(text: str) -> str:
    """A time to the second; ISO times of one offset sort as text, and records are written in UTC."""
    return re.sub(r"\.\d+", "", text).replace("T", " ").replace("+00:00", " UTC")


def _commit(code: Mapping[str, Any]) -> str:
    commit = str(code.get("git_commit") or "not in a git repository")[:12]
    return f"{commit}, with uncommitted changes" if code.get("git_dirty") else commit


def _tally(values: Sequence[str]) -> list[str]:
    counted = {value: values.count(value) for value in values}
    if len(counted) == 1:
        return list(counted)
    return [f"{value} ({show.number(times, 'run')})" for value, times in counted.items()]


def packages(report: Report) -> list[tuple[str, list[str]]]:
    """Installed packages with their versions, several where runs differ."""
    records = [report.records[key] for key in sorted(report.records)]
    installed = [record["environment"].get("packages") or {} for record in records]
    names = sorted({name for packages in installed for name in packages})
    return [(name, _tally([show.plain(packages.get(name)) for packages in installed])) for name in names]
