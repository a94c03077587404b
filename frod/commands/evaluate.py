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
    """Compute the metrics from predictions.parquet alone, then log the runs; one that diverged has none."""
    import json

    from frod import files, tracking
    from frod.evaluation import metrics
    from frod.provenance.records import read_record

    manifest = json.loads((task / "manifest.json").read_text())
    for folder in run:
        diverged = read_record(folder / "record.json").get("diverged")
        if diverged:
            print(f"{folder} diverged: {diverged}")
        files.write_json(folder / "metrics.json", metrics.evaluate(folder / "predictions.parquet", manifest, diverged))
    tracking.log_or_say(run, experiment)
