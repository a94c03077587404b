"""The terminal's tables fit in 100 columns and show every method of every task, every category of a model."""

import io

import synthetic
import torch
from rich.console import Console

from frod.method.plan import floor, plan_model
from frod.reporting.terminal_summary import plan_table, summary_table


def printed(summary, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(summary_table(summary))
    return console.file.getvalue()


def test_fits_and_shows_all(results):
    text = printed(results.summary)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for part in ("territory_language", "on micro_llama", "full fine-tuning", "FRoD", "reference", "22.6M"):
        assert part in text
    assert text.count("linear probe") == len(synthetic.TASKS)


def test_names_in_brackets_are_not_markup(results):
    assert "[bold]x[/]" in printed(results.summary.assign(task="[bold]x[/]"))


def test_the_plan_of_a_model_shows_every_category_its_way_and_the_floor():
    layers = torch.nn.ModuleDict(
        {"long_name_of_a_projection": torch.nn.Linear(384, 1536), "out": torch.nn.Linear(1536, 384)}
    )
    rows = plan_model(torch.nn.ModuleList([layers]), list(layers), tokens=4096)
    console = Console(width=100, file=io.StringIO())
    console.print(plan_table(rows, "One step"))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100
    for row in rows:
        assert row.category in text
        assert f"{row.m} × {row.n}" in text
        assert row.strategy in text
        assert f"{row.multiply_adds / row.full:.2f}" in text
    assert f"is {floor(rows):.2f}." in text
