"""`frod report`: the page that a reviewer opens, and the same figures as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FILE, FOLDER


def report(
    params: Annotated[str, typer.Option(help="The contents of params.yaml as JSON.")],
    tasks: Annotated[Path, typer.Option(**FOLDER, help="Folder of the prepared tasks: data/tasks.")],
    summary: Annotated[Path, typer.Option(**FILE, help="Table of all runs: results/SUITE/summary.parquet.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the report: reports/SUITE.")],
) -> None:
    """Write the page and its figures, the pages of the runs, tables for machines, and report.json, which names all.

    MLflow gets page, tables and figures as artefacts of the run `report`."""
    from frod.config import safe_yaml
    from frod.pipeline import copies
    from frod.pipeline.load import load_workflow
    from frod.provenance import tracking
    from frod.reporting import collect

    given = safe_yaml.from_json(params, "--params")
    project = copies.project()
    workflow, _, _ = load_workflow(given, project, {"--params": given})
    collect.build(workflow, given, tasks=tasks, summary=summary, out=out, project=project)
    tracking.log_report_or_say(out, workflow.name, summary.parent)
