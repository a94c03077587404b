"""From the files of a finished suite to its report: what `frod report` writes and `frod audit` writes once more."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod import claims, files
from frod.config import Workflow
from frod.provenance import code, records
from frod.reporting import page
from frod.reporting.naming import RunKey, looks, method_order

LAYOUT = 1
FILE = "report.json"


def build(
    workflow: Workflow,
    params: Mapping[str, Any],
    *,
    tasks: Path,
    summary: Path,
    dag: Path,
    out: Path,
    place: Path | None = None,
) -> None:
    """Read the runs of a suite and write its report.

    Parameters
    ----------
    workflow : frod.config.Workflow
    params : mapping
        The contents of params.yaml that `workflow` was made of, overrides merged in.
    tasks : Path
        Folder of the prepared tasks.
    summary : Path
        Table of all runs.
    dag : Path
        Picture of the workflow.
    out : Path
        Folder of the report. Paths are relative to the working directory, as in the workflow.
    place : Path, optional
        Where the report is to be read, if not in `out`: its links lead from there.
    """
    import pandas as pd

    results = Path(workflow.params.paths.results)
    runs = {RunKey(r.task, r.backbone, r.method, r.seed): results / r.key for r in workflow.runs}
    manifests = {pair: tasks / pair[0] / pair[1] / "manifest.json" for pair in workflow.pairs()}
    rates = {
        (run.task, run.backbone, run.method): results / run.folder / "tune" / "rates.json"
        for run in workflow.runs
        if run.rates is None
    }
    spectra = {(run.task, run.backbone, run.method): results / run.folder / "spectrum.parquet" for run in workflow.runs}
    methods = {name: method.model_dump() for name, method in workflow.methods.items()}
    evidence = claims.Evidence(
        suite=workflow.name,
        margin=workflow.suite.margin,
        summary=pd.read_parquet(summary),
        histories={key: pd.read_parquet(folder / "history.parquet") for key, folder in runs.items()},
        records={key: records.read_record(folder / "record.json") for key, folder in runs.items()},
        manifests={pair: json.loads(path.read_text()) for pair, path in manifests.items()},
        tuning={key: json.loads(path.read_text()) for key, path in rates.items()},
        spectra={key: pd.read_parquet(path) for key, path in spectra.items()},
        labels={name: look.label for name, look in looks(method_order(list(methods)), methods).items()},
        kinds={name: method["kind"] for name, method in methods.items()},
    )
    written = page.build(
        evidence.summary,
        evidence.histories,
        evidence.records,
        workflow.suite.model_dump()
        | {"name": workflow.name, "runs": list(runs), "skipped": workflow.skipped}
        | {"protocol": workflow.params.protocol, "methods": methods},
        out,
        claims=claims.assess(evidence),
        manifests=evidence.manifests,
        tuning=evidence.tuning,
        spectra=evidence.spectra,
        dag=dag.read_text(),
        results=os.path.relpath(results, place or out),
    )
    of_runs = [folder / name for folder in runs.values() for name in ("record.json", "history.parquet")]
    inputs = [summary, dag, *manifests.values(), *rates.values(), *spectra.values(), *of_runs]
    manifest = {
        "layout": LAYOUT,
        "suite": workflow.name,
        "params": dict(params),
        "skipped": workflow.skipped,
        "tasks": str(tasks),
        "summary": str(summary),
        "dag": str(dag),
        "inputs": {str(path): files.sha256(path) for path in inputs},
        "code": {"hash": code.code_hash("frod.commands.report"), **code.git_state()},
        "files": {path.relative_to(out).as_posix(): files.sha256(path) for path in sorted(written)},
    }
    files.write_json(out / FILE, records.without_secrets(manifest))
