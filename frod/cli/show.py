"""`frod show`: the comparison of a finished suite as a table in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

FILE = "summary.parquet"


def show(
    summary: Annotated[
        Path, typer.Argument(help="Table of all runs, results/SUITE/summary.parquet, or its folder.", exists=True)
    ],
) -> None:
    """Print per task and method the mean over seeds, the difference to full fine-tuning, and what was trained."""

    from frod import terminal
    from frod.config.command_line import near, of_folder
    from frod.evaluation.summary import KEY
    from frod.provenance import artefacts
    from frod.reporting.terminal_summary import summary_table

    if summary.is_file() and summary.suffix != ".parquet":
        raise ValueError(f"{summary}: is no table of all runs; give results/SUITE/{FILE}, or its folder")
    summary = summary / FILE if summary.is_dir() else summary
    if not summary.is_file():
        meant = near(summary.parent, FILE) or f"; run `{of_folder(summary.parent)}`"
        raise ValueError(f"{summary}: is not there{meant}")
    table = artefacts.read_table(summary, columns=(*KEY, "undefined"))
    if table.empty:
        raise ValueError(f"{summary}: has no run; run `{of_folder(summary.parent)}`")
    terminal.console().print(summary_table(table))
