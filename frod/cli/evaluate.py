"""`frod evaluate`: metrics of runs from their predictions, mirrored to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER


def evaluate(
    run: Annotated[
        list[Path], typer.Option(**FOLDER, help="Folder of a run, one option each; metrics.json is written there.")
    ],
    task: Annotated[Path, typer.Option(**FOLDER, help="Folder of the prepared task.")],
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")] = "frod",
) -> None:
    """Compute the metrics from predictions.parquet alone, then log the runs; it says which have no figure."""
    from frod import files
    from frod.evaluation import metrics
    from frod.provenance import tracking
    from frod.provenance.records import read_record, verify_outputs
    from frod.tasks import arrays

    manifest = arrays.load_manifest(task, verify=False)  # of the arrays nothing is read
    for folder in run:
        record = read_record(folder / "record.json")
        verify_outputs(folder / "record.json", record, ["predictions.parquet"])
        found = metrics.evaluate(folder / "predictions.parquet", manifest, record["undefined"])
        if found["undefined"]:
            print(f"{folder} has no figure: {found['undefined']}")
        files.write_json(folder / "metrics.json", found)
        files.remove(folder.glob("checkpoint.*"))  # the training has ended, to Snakemake's knowledge too
    tracking.log_or_say(run, experiment)
