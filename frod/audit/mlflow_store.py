"""MLflow: each run of the suite stands there once, and says what the run's files say."""

from __future__ import annotations

import math
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod import tracking
from frod.audit.findings import NOTHING, Findings, difference
from frod.audit.study import Study, read_json
from frod.reporting.naming import RunKey

NAME = "MLflow"
PAGE = 500  # runs that one request asks for
LOG = "run `frod track {}`"
TAGS = ("frod.run", "frod.record", "frod.code", "git_commit")


def check(study: Study, findings: Findings) -> None:
    """Compare the store with the files; a store that cannot be had is said, and no finding."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or study.workflow.params.tracking.uri or tracking.DEFAULT_URI
    if os.environ.get("FROD_TRACKING") == "off" or not study.workflow.params.tracking.enabled:
        findings.unchecked[NAME] = "tracking is off"
        return
    reason = _unopenable(uri)
    if reason:
        findings.unchecked[NAME] = reason
        return
    try:
        logged = _logged(uri, study.workflow.name)
    except Exception as error:  # any failure of the mirror, of whatever library beneath it
        findings.unchecked[NAME] = tracking_error(error)
        return
    if logged is None:
        findings.unchecked[NAME] = f"the store has no experiment {study.workflow.name}"
        return
    _compare(study, logged, findings)


def tracking_error(error: Exception) -> str:
    """Why the store cannot be had, without what is secret in its address."""
    from frod.provenance.records import without_secrets

    first = (str(error).strip().splitlines() or [""])[0]
    return without_secrets(f"the store cannot be read ({type(error).__name__}: {first})")


def _unopenable(uri: str) -> str | None:
    """Why an SQLite store is not opened: MLflow would make a missing or empty one, and an audit makes nothing."""
    if not uri.startswith("sqlite:///"):
        return None
    path = Path(uri.removeprefix("sqlite:///").partition("?")[0])
    if not path.is_file():
        return f"there is no {path}"
    try:
        with sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True) as database:
            if database.execute("select version_num from alembic_version").fetchone():
                return None
    except sqlite3.Error as error:
        return f"{path} is no store of MLflow ({error})"
    return f"{path} is no store of MLflow"


def _logged(uri: str, experiment: str) -> list[Any] | None:
    """All runs of an experiment; None where there is no such experiment. MLflow refuses a store of another version."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return None
    runs: list[Any] = []
    token = None
    while token or not runs:
        page = client.search_runs([found.experiment_id], max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            break
    return runs


def _compare(study: Study, logged: list[Any], findings: Findings) -> None:
    remedy = LOG.format(study.results)
    by_key: dict[str, list[Any]] = {}
    planned = {f"{study.workflow.name}/{key.path}": key for key in study.runs}
    for run in logged:
        name = run.data.tags.get("frod.run", NOTHING)
        by_key.setdefault(name, []).append(run)
        if name not in planned:
            where = f"{NAME} run {run.info.run_id}"
            findings.add(where, "tag frod.run: no run that the suite plans", "a planned run", name, remedy="delete it")
    for name, key in planned.items():
        there = by_key.get(name, [])
        where = f"{NAME} {name}"
        if len(there) != 1:
            findings.add(where, "runs with this tag frod.run", 1, len(there), remedy=remedy)
        for run in there:
            with findings.guard(where, "the run"):
                _compare_run(study, key, run, where, findings)
                findings.checked["MLflow runs"] += 1


def _compare_run(study: Study, key: RunKey, run: Any, where: str, findings: Findings) -> None:
    folder, record = study.folder(key), study.records.get(key)
    metrics = read_json(folder / "metrics.json")
    if record is None or metrics is None:
        return  # missing, and named as such
    tags = {
        "frod.run": f"{study.workflow.name}/{key.path}",
        "frod.record": study.digests.sha256(folder / "record.json"),
        "frod.code": record["code"]["hash"],
        "git_commit": str(record["code"]["git_commit"]),
    }
    settings = record["run"] | {name: record[name] for name in ("spec", "budget", "tuning") if record.get(name)}
    expected = {
        "tag": tags,
        "param": {name: value[:500] for name, value in tracking._flat(settings)},
        "metric": _metrics(folder, record, metrics),
    }
    found = {
        "tag": {name: run.data.tags.get(name, NOTHING) for name in TAGS},
        "param": dict(run.data.params),
        "metric": dict(run.data.metrics),
    }
    for part, values in expected.items():
        differing = difference(values, found[part])
        if differing:
            name, one, other = differing
            remedy = LOG.format(study.results)
            findings.add(f"{where} (run {run.info.run_id})", f"{part} {name}, by {folder}", one, other, remedy=remedy)
        findings.checked[f"MLflow {part}s"] += len(values)


def _metrics(folder: Path, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, float]:
    """The last value of each metric that `frod.tracking` logs of a run: final figures, and the curves' last points."""
    import pyarrow.parquet as pq

    final = {one.key: one.value for one in tracking._final(record, metrics, 0)}
    curves = {}
    table = pq.read_table(folder / "history.parquet")
    for column in table.column_names:
        if column in tracking.CURVES or column.startswith(("lr_", "validation_", "test_")):
            values = [value for value in table[column].to_pylist() if value is not None and not math.isnan(value)]
            if values:
                curves[tracking.CURVES.get(column, column)] = float(values[-1])
    return final | curves
