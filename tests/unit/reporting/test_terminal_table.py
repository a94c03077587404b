"""The terminal's summary fits in 100 columns and shows every method of every task."""

import io

import synthetic
from rich.console import Console

from frod.reporting.terminal import summary_table


def printed(summary, methods=None, width=100):
    console = Console(width=width, file=io.StringIO())
    console.print(summary_table(summary, methods))
    return console.file.getvalue()


def test_fits_and_shows_all(results):
    text = printed(results.summary, results.suite["methods"])
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    for part in ("territory_language", "on micro_llama", "full fine-tuning", "FRoD", "reference", "22.6M"):
        assert part in text
    assert text.count("linear probe") == len(synthetic.TASKS)


def test_names_in_brackets_are_not_markup(results):
    assert "[bold]x[/]" in printed(results.summary.assign(task="[bold]x[/]"))
