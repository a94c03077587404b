"""`frod evaluate`: metrics of runs from their predictions, mirrored to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[list[Path], typer.Option(help="Folder of a run, one option each; metrics.json is written there.")],
    task: Annotated[Path, typer.Option(help="Folder of the prepared task.")],
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "frod",
) -> None:
    """Compute the metrics from predictions.parquet alone, then log the runs."""
    import json

    from frod import files, tracking
    from frod.evaluation import metrics

    manifest = json.loads((task / "manifest.json").read_text())
    for folder in run:
        files.write_json(folder / "metrics.json", metrics.evaluate(folder / "predictions.parquet", manifest))
    tracking.log_or_say(run, experiment)
