"""summary.md: verdicts, results and where they come from, to be pasted into a README or a pull request."""

from __future__ import annotations

import re
from collections.abc import Sequence

from frod.evaluation import formatting as show
from frod.evaluation.runs import REFERENCE, pair_label
from frod.reporting.comparison import MethodResult
from frod.reporting.naming import metric_label
from frod.reporting.report import Report
from frod.reporting.sentences import undefined
from frod.reporting.verdicts import in_words, same_budget


def escape(text: str) -> str:
    """Text that Markdown, and the HTML it may hold, shows as it is, on one line."""
    text = re.sub(r"\s*[\r\n]+\s*", " ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]#|~$])", r"\\\1", text)


def summary_md(report: Report) -> str:
    """Claims and results as tables, with a line on their provenance."""
    parts = [f"### {escape(report.suite.get('title') or report.suite['name'])}", ""]
    for line in undefined(report):
        parts += [escape(line), ""]
    if report.claims["claims"]:
        rows = [[claim["title"], in_words(claim), claim["reason"]] for claim in report.claims["claims"]]
        parts += _table(["claim", "verdict", "why"], rows)
        parts += ["", "Verdicts are on this suite alone: its models, tasks, budgets and seeds.", ""]
        parts += [escape(same_budget(report)), ""]
    columns = ["task", "method", "mean ± spread", "difference", "95 % interval", "n"]
    parts += _table(columns, _results(report), numeric=4)
    parts += [
        "",
        "Test metric times one hundred, over n seeds; difference to full fine-tuning, paired by seed.",
        "",
        escape(provenance(report)),
    ]
    return "\n".join(parts) + "\n"


def provenance(report: Report) -> str:
    """One line: which runs of which code gave these figures."""
    codes = sorted(
        {(str(r["code"].get("git_commit"))[:12], str(r["code"]["hash"])[:12]) for r in report.records.values()}
    )
    made = "; ".join(f"commit {commit}, training code {digest}" for commit, digest in codes)
    return (
        f"Suite {report.suite['name']}, {show.number(len(report.summary), 'run')}: {made}. Every figure leads to its "
        "run in index.html beside this file; report.json has the hashes of all it was made from."
    )


def _results(report: Report) -> list[list[str]]:
    rows = []
    for comparison in report.comparisons:
        where = f"{pair_label(comparison.task, comparison.backbone)}, {metric_label(comparison.primary)}"
        rows += [[where, report.label(result.method), *_cells(result)] for result in comparison.results]
    return rows


def _cells(result: MethodResult) -> list[str]:
    compared = ("reference", "") if result.method == REFERENCE else show.compared(result.difference)
    return [result.shown, *compared, str(len(result.values))]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, numeric: int = 0) -> list[str]:
    """A table, whose last `numeric` columns stand to the right."""
    left = len(columns) - numeric
    rule = "|" + "|".join("---" if index < left else "---:" for index in range(len(columns))) + "|"
    return [_row(columns), rule, *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(escape, cells)) + " |"
