"""The claims as the page shows them: a verdict in a word, the figures it rests on, and their tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frod.evaluation import formatting as show
from frod.reporting.cells import Cell, cell
from frod.reporting.figures import forest
from frod.reporting.naming import run_page
from frod.reporting.report_data import Report
from frod.reporting.verdicts import in_words, same_budget

_MARKS = {"supported": "✓", "not_supported": "✗", "cannot_be_tested": "?"}


def budget(report: Report) -> dict[str, Any]:
    """Whether compared runs had the same budget."""
    found = report.claims["budget"]
    return {"said": same_budget(report), "table": _table(found["table"], {})}


def beside(report: Report) -> list[dict[str, Any]]:
    """What is measured and not judged, in the order of claims.json: each section's tables, and its figures' names."""
    pages = _pages(report)
    return [
        section
        | {
            "tables": [_table(table, pages) for table in section["tables"]],
            "figures": forest.names(section),
        }
        for section in report.claims["beside"]
    ]


def _pages(report: Report) -> dict[str, str]:
    """Where the runs of a method are shown, by TASK/BACKBONE/METHOD."""
    return {
        f"{task}/{backbone}/{method}": run_page(task, backbone, method)
        for task, backbone, method in report.summary[["task", "backbone", "method"]].itertuples(index=False)
    }


def claims(report: Report) -> list[dict[str, Any]]:
    """The claims in the order of claims.json."""
    pages = _pages(report)
    return [
        claim
        | {
            "id": f"claim-{claim['id'].replace('_', '-')}",
            "verdict": in_words(claim),
            "mark": "~" if claim.get("finding") == "undecided" else _MARKS[claim["verdict"]],
            "kind": claim.get("finding") if claim["verdict"] == "not_supported" else claim["verdict"],
            "figures": [(figure["name"], _figure(figure)) for figure in claim["figures"]],
            "tables": [_table(table, pages) for table in claim["tables"]],
        }
        for claim in report.claims["claims"]
    ]


def _table(table: dict[str, Any], pages: Mapping[str, str]) -> dict[str, Any]:
    columns = zip(*table["rows"]) if table["rows"] else [()] * len(table["columns"])
    # A column of numbers stands to the right; the first has names.
    words = [i == 0 or any(isinstance(value, str) for value in column) for i, column in enumerate(columns)]
    rows = [[_cell(value, pages) for value in row] for row in table["rows"]]
    return table | {"numeric": [not of_words for of_words in words], "rows": rows}


def _figure(figure: Mapping[str, Any]) -> str:
    """A main figure: 1.72 [1.5, 1.9] %, n = 5."""
    said = show.figure(figure["value"]) + _interval(figure)
    if figure.get("unit"):
        said += f"\u00a0{figure['unit']}"
    return said + (f", n\u00a0=\u00a0{figure['n']}" if figure.get("n") is not None else "")


def _interval(value: Mapping[str, Any]) -> str:
    """The interval of a number, in a space and brackets; nothing where there is none."""
    if value.get("low") is None or value.get("high") is None:
        return ""
    return f" [{show.figure(value['low'])},\u00a0{show.figure(value['high'])}]"


def _cell(value: Any, pages: Mapping[str, str]) -> Cell:
    if value is None:
        return cell(show.DASH)
    if isinstance(value, str):
        return cell(value)
    if isinstance(value, int | float):
        return cell(show.figure(value), value)
    text = value.get("text")
    if text is None:
        text = show.figure(value.get("value")) + _interval(value)
    return cell(text, value.get("value"), pages.get(value.get("run") or ""))
