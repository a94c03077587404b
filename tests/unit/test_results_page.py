"""README.md and docs/results.md say what the published reports say, and the README stays short."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]


def test_tables_and_figures_are_those_of_the_report():
    for path, text in runpy.run_path(str(ROOT / "docs/results.py"))["written"]().items():
        assert path.read_text("utf-8") == text, "run `python docs/results.py`"


def test_a_mean_on_the_readme_is_that_of_the_runs():
    """By hand, without what writes the page."""
    text = (ROOT / "README.md").read_text("utf-8")
    runs = pd.read_csv(ROOT / "reports/published/evidence/results.csv")
    for task, column, method in (("sst2", 2, "frod"), ("textures10", 1, "full_ft")):
        line = next(line for line in text.splitlines() if line.startswith(f"| {task} |"))
        values = runs.loc[(runs["task"] == task) & (runs["method"] == method), "test"]
        assert len(values) == 5
        assert float(line.split("|")[column + 1]) == pytest.approx(100 * values.mean(), abs=0.051)


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 120
