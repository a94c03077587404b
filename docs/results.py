"""Writes the tables of docs/results.md and README.md, and docs/results-*.svg, from published reports.

Run it as `python docs/results.py`. In a page a table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from frod.evaluation.formatting import fixed, interval, per_cent, ratio_interval, signed, significant
from frod.provenance.run_keys import REFERENCE
from frod.reporting.naming import looks, method_order
from frod.reporting.verdicts import in_words

ROOT = Path(__file__).parents[1]
PUBLISHED = ROOT / "reports/published"
REPORT = PUBLISHED / "evidence"
PAGES = (ROOT / "README.md", ROOT / "docs/results.md")
FIGURES = ("difference", "best_of", "spectrum-sst2-minilm")
ABLATION = ("test metric, points", "test loss", "numbers, ratio", "seconds of training, ratio")
UNITS = {
    "points": (2, " points"),
    "of the start level": (3, ""),
    "points of the full": (1, " points"),
    "ratio": (0, ""),
}
"""Digits of a figure, and how its unit is written."""


def written() -> dict[Path, str]:
    """Each page with its tables, and each figure, as they follow from the reports."""
    tables = {"test": _test(), "verdicts": _claims(most=1), "claims": _claims(), "costs": _costs()}
    tables |= {"ablation": _ablation(), "steps": _test("ablation_steps")}
    found = {page: _filled(page.read_text("utf-8"), tables) for page in PAGES}
    return found | {
        ROOT / "docs" / f"results-{name.partition('-')[0]}.svg": (REPORT / f"figures/{name}.svg").read_text("utf-8")
        for name in FIGURES
    }


def _filled(text: str, tables: dict[str, str]) -> str:
    def table(found: re.Match[str]) -> str:
        return f"{found[1]}\n{tables[found[2]]}\n\n<!-- end -->"

    return re.sub(r"(<!-- (\w+) -->\n).*?<!-- end -->", table, text, flags=re.DOTALL)


def _runs(name: str) -> tuple[pd.DataFrame, dict[str, str]]:
    runs = pd.read_csv(PUBLISHED / name / "results.csv")
    suite = yaml.safe_load((ROOT / f"workflow/suites/{name}.yaml").read_text("utf-8"))
    methods = method_order(sorted(set(runs["method"])), list(suite["methods"]))
    return runs, {name: look.label for name, look in looks(methods, suite["methods"]).items()}


def _test(name: str = "evidence") -> str:
    """Mean over seeds on test, in points."""
    runs, methods = _runs(name)
    means = 100 * runs.groupby(["task", "method"])["test"].mean().unstack()
    rows = [[task, *(fixed(means.loc[task, method], 1) for method in methods)] for task in means.index]
    if name == "evidence":  # each task stands there once
        rows.append(["**mean**", *(f"**{fixed(means[method].mean(), 1)}**" for method in methods)])
    return _table(["test, in points", *methods.values()], rows)


def _claims(most: int | None = None) -> str:
    """Each claim, its verdict, and the first, or all, of its figures that have an interval."""
    claims = json.loads((REPORT / "claims.json").read_text("utf-8"))["claims"]
    rows = [
        [claim["title"], in_words(claim), figure["name"], _interval(figure)]
        for claim in claims
        for figure in [figure for figure in claim["figures"] if figure["low"] is not None][:most]
    ]
    return _table(["claim", "verdict", "FRoD's", "mean over tasks, 95 % interval"], rows)


def _interval(of: dict[str, Any]) -> str:
    digits, unit = UNITS[of["unit"]]
    if of["unit"] == "ratio":
        return f"{significant(of['value'])} {ratio_interval(of['low'], of['high'])}"
    return f"{signed(of['value'], digits)} {interval(of['low'], of['high'], digits)}{unit}"


def _costs() -> str:
    """What each method trains and takes, against full fine-tuning: medians over tasks and seeds, by model."""
    runs, methods = _runs("evidence")
    by = ["task", "backbone", "seed"]
    reference = runs[runs["method"] == REFERENCE].set_index(by)
    rows: list[list[str]] = []
    for backbone, of in runs.groupby("backbone"):
        for method, label in methods.items():
            mine = of[of["method"] == method].set_index(by)
            theirs = reference.loc[mine.index]
            share = (mine["adapter_parameters"] / mine["base_parameters"]).median()
            step = (mine["step_seconds_median"] / theirs["step_seconds_median"]).median()
            memory = (mine["peak_rss_bytes"] / theirs["peak_rss_bytes"]).median()
            rows.append([str(backbone), label, per_cent(share), significant(step), significant(memory)])
    return _table(["model", "method", "trained, of the model", "step / full", "peak memory / full"], rows)


def _ablation() -> str:
    """Each method less FRoD, or over it, mean over tasks, in some of the report's quantities."""
    beside = json.loads((PUBLISHED / "ablation/claims.json").read_text("utf-8"))["beside"]
    table = next(of for of in beside if of["id"] == "ablation")["tables"][0]
    shown = [table["columns"].index(name) for name in ABLATION]
    cells = [[row[0], *(row[at]["text"] if row[at] else "–" for at in shown)] for row in table["rows"]]
    return _table(["method", *ABLATION], cells)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    for path, text in written().items():
        path.write_text(text, "utf-8")
