"""`frod show`: the comparison of a finished suite as a table in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def show(
    summary: Annotated[
        Path, typer.Argument(help="Table of all runs, results/SUITE/summary.parquet, or its folder.", exists=True)
    ],
) -> None:
    """Print per task and method the mean over seeds, the difference to full fine-tuning, and what was trained."""

    from frod import terminal
    from frod.config.command_line import of_folder
    from frod.evaluation.summary import KEY
    from frod.provenance import artefacts
    from frod.reporting.terminal_summary import summary_table

    summary = summary / "summary.parquet" if summary.is_dir() else summary
    if not summary.is_file():
        raise ValueError(f"{summary}: is not there; run `{of_folder(summary.parent)}`")
    table = artefacts.read_table(summary, columns=(*KEY, "undefined"))
    if table.empty:
        raise ValueError(f"{summary}: has no run; run `{of_folder(summary.parent)}`")
    terminal.console().print(summary_table(table))
