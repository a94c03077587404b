"""`frod evaluate`: metrics of one run from its predictions, mirrored to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Option(help="Folder of the run; metrics.json is written there.")],
    task: Annotated[Path, typer.Option(help="Folder of the prepared task.")],
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "frod",
) -> None:
    """Compute the metrics from predictions.parquet alone, then log the run."""
    import json

    from frod import files, tracking
    from frod.evaluation import metrics

    manifest = json.loads((task / "manifest.json").read_text())
    files.write_json(run / "metrics.json", metrics.evaluate(run / "predictions.parquet", manifest))
    tracking.log_or_say([run], experiment)
