"""MLflow: each run of the suite stands there once, and says what the run's files say."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings, difference
from frod.audit.mlflow_store import Logged, read
from frod.audit.study import Study, read_json
from frod.provenance import tracking
from frod.provenance.run_keys import RunKey

NAME = "MLflow"
TAGS = ("frod.run", "frod.record", "frod.code", "git_commit", "frod.undefined")


def check(study: Study, findings: Findings) -> None:
    """Compare the store with the files; a store that cannot be had is said, and no finding."""
    settings = study.workflow.params.tracking
    if os.environ.get("FROD_TRACKING") == "off" or not settings.enabled:
        findings.unchecked[NAME] = "tracking is off"
        return
    uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.uri or tracking.DEFAULT_URI
    try:
        logged = read(uri, study.workflow.name)
    except ValueError as error:
        findings.unchecked[NAME] = str(error)
        return
    remedy = f"run `frod track {study.results}`"
    planned = {f"{study.workflow.name}/{key.path}": key for key in study.runs}
    by_name: dict[str, list[Logged]] = {}
    for run in logged:
        name = run.tags.get("frod.run", NOTHING)
        by_name.setdefault(name, []).append(run)
        if name not in planned:
            findings.add(f"{NAME} run {run.id}", "tag frod.run", "a run that the suite plans", name, remedy="delete it")
    for name, key in planned.items():
        there = by_name.get(name, [])
        if len(there) != 1:
            findings.add(f"{NAME} {name}", "runs with this tag frod.run", 1, len(there), remedy=remedy)
        for run in there:
            with findings.guard(f"{NAME} {name}", "the run"):
                _compare(study, key, run, findings, remedy)
                findings.checked["MLflow runs"] += 1


def _compare(study: Study, key: RunKey, run: Logged, findings: Findings, remedy: str) -> None:
    folder, record = study.folder(key), study.records.get(key)
    metrics = read_json(folder / "metrics.json")
    if record is None or metrics is None:
        return  # missing, and named as such
    name = f"{study.workflow.name}/{key.path}"
    tags = {
        "frod.run": name,
        "frod.record": study.digests.sha256(folder / "record.json"),
        "frod.code": record["code"]["hash"],
        "git_commit": str(record["code"]["git_commit"]),
        "frod.undefined": metrics.get("undefined") or NOTHING,
    }
    parts = {
        "tag": (tags, {tag: run.tags.get(tag, NOTHING) for tag in TAGS}),
        "param": (tracking.settings_of(record), run.params),
        "metric": (_metrics(folder, record, metrics), run.metrics),
    }
    for part, (expected, found) in parts.items():
        differing = difference(expected, found)
        if differing:
            where, one, other = differing
            findings.add(f"{NAME} {name} (run {run.id})", f"{part} {where}, by {folder}", one, other, remedy=remedy)
        findings.checked["MLflow values"] += len(expected)


def _metrics(folder: Path, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, float]:
    """The last value of each metric that `frod.provenance.tracking` logs: final figures, the curves' last points."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "history.parquet")
    curves = {}
    for column in table.column_names:
        if column in tracking.CURVES or column.startswith(("lr_", "validation_", "test_")):
            values = [value for value in table[column].to_pylist() if value is not None and math.isfinite(value)]
            if values:
                curves[tracking.CURVES.get(column, column)] = float(values[-1])
    return tracking.figures_of(record, metrics) | curves
