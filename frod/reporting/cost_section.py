"""What a method costs: parameters by every convention, time and memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from frod.evaluation import formatting as show
from frod.provenance.run_keys import SUBJECT, pair_label
from frod.reporting.cells import cell
from frod.reporting.comparison import CONVENTIONS, ParameterCount, costs
from frod.reporting.naming import run_page
from frod.reporting.report_data import Report


def parameters(report: Report, counts: Sequence[ParameterCount]) -> list[dict[str, Any]]:
    """A row per backbone and method; where heads differ by task, lowest and highest, sorted by the lowest."""
    first = report.summary.drop_duplicates(["backbone", "method"]).set_index(["backbone", "method"])["task"]
    rows = []
    for count in counts:
        href = run_page(first[count.backbone, count.method], count.backbone, count.method)
        numbers = [
            cell(show.count_range(values), min(values), href) for values in (count.adapter, count.head, count.total)
        ]
        shares = (count.shares[name] for name in CONVENTIONS)
        numbers += [cell(show.share_range(values), min(values), href) for values in shares]
        rows.append({"backbone": count.backbone, "look": report.looks[count.method], "cells": numbers})
    return rows


def share(counts: Sequence[ParameterCount]) -> str:
    """What FRoD trains of each model's base parameters; empty without FRoD."""
    shares = {c.backbone: show.share_range(c.shares[CONVENTIONS[0]]) for c in counts if c.method == SUBJECT}
    if len(set(shares.values())) == 1:
        return next(iter(shares.values()))
    return ", ".join(f"{text} ({backbone})" for backbone, text in shares.items())


def time_and_memory(report: Report, *, gpu: bool) -> list[dict[str, Any]]:
    """A row per task and method."""
    rows = []
    for row in costs(report.summary, report.methods):
        href = run_page(row["task"], row["backbone"], row["method"])
        columns = {
            "step_seconds_median": show.seconds,
            "step_ratio": show.ratio,
            "train_seconds": show.seconds,
            "peak_rss_bytes": show.size,
        } | ({"peak_gpu_bytes": show.size} if gpu else {})
        rows.append(
            {
                "pair": pair_label(row["task"], row["backbone"]),
                "look": report.looks[row["method"]],
                "cells": [cell(as_text(row[name]), row[name], href) for name, as_text in columns.items()],
            }
        )
    return rows
