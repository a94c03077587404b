"""What the report adds from outside its runs: the released scripts' faults, and numbers that others published."""

from __future__ import annotations

from functools import cache
from typing import Any

from frod.evaluation.formatting import DASH
from frod.reporting.cells import Cell, cell
from frod.reporting.report_data import Report


def known_issues() -> list[dict[str, Any]]:
    """The faults of the released scripts: `fault`, `effect`, `state`, `here`, `where`."""
    return list(_read("known_issues.yaml"))


def published(report: Report) -> list[dict[str, Any]]:
    """Tables of others: those of general use, and those on the suite's own models, in the tasks that it has."""
    known = _read("published.yaml")
    tables = [one | {"rows": [[_cell(value) for value in row] for row in one["rows"]]} for one in known["general"]]
    for one in known["tasks"]:
        ours = [comparison.task for comparison in report.comparisons if comparison.backbone == one["backbone"]]
        tasks = [task for task in ours if any(task in row for row in one["rows"].values())]
        if tasks:
            rows = [[cell(name), *(_cell(row.get(task)) for task in tasks)] for name, row in one["rows"].items()]
            tables.append(one | {"columns": ["method", *tasks], "rows": rows})
    return tables


def _cell(value: Any) -> Cell:
    if value is None:
        return cell(DASH)
    return cell(value) if isinstance(value, str) else cell(f"{value:g}", value)


@cache
def _read(name: str) -> Any:
    from importlib.resources import files

    import yaml

    return yaml.safe_load(files("frod.reporting").joinpath(name).read_text(encoding="utf-8"))
