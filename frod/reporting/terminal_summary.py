"""The summary at the end of `make reproduce`: what a reader of the terminal should have seen before the page."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

    from frod.method.plan import CategoryPlan

from frod.evaluation import formatting as show
from frod.provenance.run_keys import REFERENCE, undefined, word
from frod.reporting.comparison import MethodResult, by_pair, compare
from frod.reporting.figures.axes import short
from frod.reporting.naming import looks, method_order, metric_label
from frod.terminal import table

NAMED = 6
"""Runs without a figure, of which more are only counted."""


def summary_table(summary: pd.DataFrame) -> Table:
    """Test metric by task and method, with the difference to full fine-tuning and what is trained.

    Parameters
    ----------
    summary : DataFrame
        Of `frod.evaluation.summary.summarise`.

    Returns
    -------
    rich Table, which fits in 100 columns; print it with a rich Console
    """
    order = method_order(sorted(summary["method"].unique()), [])
    appearance = looks(order)
    suite = ", ".join(map(str, summary["suite"].unique()))
    note = "n: seeds; difference: to full fine-tuning, paired by seed; trained: parameters, head included"
    lost = [f"{key.path} ({word(why)})" for key, why in undefined(summary).items()]
    if lost:
        named = ", ".join(lost[:NAMED]) + (f" and {len(lost) - NAMED} more" if len(lost) > NAMED else "")
        note += f"\nwithout a figure (†: a mean without them): {named}"
    rows: list[list[str]] = []
    for comparison, of_task in zip(compare(summary, order), by_pair(summary).values()):
        trained = dict(zip(of_task["method"], of_task["trainable_parameters"]))
        where = [comparison.task, f"on {comparison.backbone}", metric_label(comparison.primary)]
        for text, result in zip_longest(where, comparison.results):
            cells = [""] * 6
            if result:
                label, size = appearance[result.method].label, show.short_count(trained[result.method])
                cells = [short(label, 16), *_figures(result), size]
            rows.append([short(text or "", 20), *cells])
        rows.append([])
    columns = ["task", "method", "mean ± spread", "n", "difference", "95 % interval", "trained"]
    title = f"Suite {suite}: test, mean ± spread over seeds, in points"
    return table(columns, rows, left=columns[:2], title=title, note=note)


def plan_table(rows: list[CategoryPlan], title: str) -> Table:
    """How each category would be computed in training, and the floor.

    Parameters
    ----------
    rows : list of CategoryPlan
        Of `frod.method.plan.plan_model`.
    """
    from frod.method.plan import floor

    note = (
        "k: entries of S in a layer; ratio: multiply-adds to full fine-tuning's; basis: V and its inverse, kept: U "
        f"and W', in MiB.\nThe floor, the least ratio of any exact plan in these layers, is {floor(rows):.2f}."
    )
    footer = {
        "category": "in all",
        "layers": str(sum(row.layers for row in rows)),
        "ratio": f"{sum(row.multiply_adds for row in rows) / sum(row.full for row in rows):.2f}",
        "basis": _mebibytes(sum(row.basis_bytes for row in rows)),
        "kept": _mebibytes(sum(row.weight_bytes for row in rows)),
    }
    columns = ["category", "layers", "out × in", "k", "plan", "ratio", "basis", "kept"]
    cells = [
        (row.category, str(row.layers), f"{row.m} × {row.n}", show.short_count(row.k), row.strategy, *sizes)
        for row in rows
        for sizes in [(f"{row.multiply_adds / row.full:.2f}", *map(_mebibytes, (row.basis_bytes, row.weight_bytes)))]
    ]
    return table(columns, cells, left=("category", "plan"), title=title, note=note, footer=footer)


def _mebibytes(count: int) -> str:
    return f"{count / 2**20:,.1f}"


def _figures(result: MethodResult) -> list[str]:
    compared = ("", "reference") if result.method == REFERENCE else show.compared(result.difference)
    mark = "†" if result.undefined and result.values else ""
    mean = show.over_seeds(result.spread) if result.values else result.shown
    return [mean + mark, str(len(result.values)), *compared]
