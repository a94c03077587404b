"""`frod summarise`: one table of all runs of a suite."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def summarise(
    params: Annotated[str, typer.Option(help="The contents of params.yaml as JSON.")],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Table to write, one row a run (parquet).")],
) -> None:
    """Collect records and metrics; refuses runs that did not have the same budget and data."""
    from frod import files
    from frod.config import safe_yaml
    from frod.evaluation.summary import summarise as collect
    from frod.pipeline import copies
    from frod.pipeline.load import load_workflow
    from frod.provenance import artefacts

    given = safe_yaml.from_json(params, "--params")
    workflow, _, _ = load_workflow(given, copies.project(), {"--params": given})
    table = collect([Path(workflow.params.paths.results) / run.key for run in workflow.runs])
    with files.path_for(out) as partial:
        artefacts.write_table(table, partial)
