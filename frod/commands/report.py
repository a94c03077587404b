"""`frod report`: the page that a reviewer opens, and the same figures as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def report(
    params: Annotated[str, typer.Option(help="The contents of params.yaml as JSON.")],
    tasks: Annotated[Path, typer.Option(help="Folder of the prepared tasks: data/tasks.")],
    summary: Annotated[Path, typer.Option(help="Table of all runs: results/SUITE/summary.parquet.")],
    dag: Annotated[Path, typer.Option(help="Picture of the workflow.")],
    out: Annotated[Path, typer.Option(help="Folder of the report: reports/SUITE.")],
) -> None:
    """Write index.html, results.csv, metrics.json, curves.csv and the figures."""
    import json

    import pandas as pd

    from frod.commands.params import load_workflow
    from frod.provenance import records
    from frod.reporting import page
    from frod.reporting.naming import RunKey

    workflow, _, _ = load_workflow(json.loads(params), Path())
    paths = workflow.params.paths
    runs = {RunKey(r.task, r.backbone, r.method, r.seed): Path(paths.results) / r.key for r in workflow.runs}
    page.build(
        pd.read_parquet(summary),
        {key: pd.read_parquet(folder / "history.parquet") for key, folder in runs.items()},
        {key: records.read_record(folder / "record.json") for key, folder in runs.items()},
        workflow.suite.model_dump()
        | {"name": workflow.name, "runs": list(runs), "skipped": workflow.skipped, "protocol": workflow.params.protocol}
        | {"methods": {name: method.model_dump() for name, method in workflow.methods.items()}},
        out,
        manifests={
            (task, backbone): json.loads((tasks / task / backbone / "manifest.json").read_text())
            for task, backbone in workflow.pairs()
        },
        tuning={
            (run.task, run.backbone, run.method): json.loads(
                (Path(paths.results) / run.folder / "tune" / "rates.json").read_text()
            )
            for run in workflow.runs
            if run.rates is None
        },
        dag=dag.read_text(),
        results=os.path.relpath(paths.results, out),
    )
