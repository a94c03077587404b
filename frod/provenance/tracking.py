"""MLflow as a mirror of finished runs: everything logged is read from a run's files.

So a run is logged again, or later, or to another server, without training it again; a killed training leaves no run
that is RUNNING for ever; and a store that is down costs nothing but a message. One MLflow run per training, found by
its tag `frod.run` (SUITE/TASK/BACKBONE/METHOD/seed-N); logging it again replaces it. The tag `frod.record` is the
sha256 of record.json: it ties the MLflow run to the files. A run without a figure has the tag `frod.undefined`,
which says why; one that diverged stands as failed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.provenance import secrets
from frod.provenance.artefacts import first_line
from frod.provenance.run_keys import stopped

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_URI = "sqlite:///mlflow.db"
BATCH = 1000  # most metrics that one request may hold
POINTS = 500  # most of one curve: a thousand runs of ten thousand steps would else be a hundred million rows
LOCK_SECONDS = 120  # that another process may take to open the store
DAMAGED = ("malformed", "not a database")  # SQLite's words for a file that was cut or overwritten
CURVES = {  # MLflow's name of each column of the history
    "loss": "loss",
    "grad_norm": "grad_norm",
    "rss_bytes": "system/memory_bytes",
    "cpu_percent": "system/cpu_utilization_percentage",
    "gpu_bytes": "system/gpu_memory_bytes",
}


def log_or_say(run_dirs: list[Path], experiment: str) -> bool:
    """Log runs; on a store that cannot be had say so on stderr and go on. Returns whether all were logged."""
    if off():
        print("tracking is off")
        return True
    try:
        client, experiment_id = _open(experiment)
        for directory in run_dirs:
            _log(client, experiment_id, directory)
    except Exception as error:  # any failure of the mirror, of whatever library beneath it, must not stop the study
        _say(error, Path(*run_dirs[0].parts[:-4]))
        return False
    return True


def off() -> bool:
    """Whether runs are not mirrored."""
    return os.environ.get("FROD_TRACKING") == "off"


def _say(error: Exception, results: Path) -> None:
    first = first_line(error)
    damaged = any(sign in first for sign in DAMAGED)
    remedy = "move the damaged database aside, then log them" if damaged else "log them later"
    why = secrets.removed_from(f"{type(error).__name__}: {first}")
    print(f"tracking: not in MLflow ({why}). The files are whole; {remedy}: frod track {results}", file=sys.stderr)


def _open(experiment: str) -> tuple[Any, str]:
    """Connect to the store and return its client and the experiment's number; both are made where they are missing."""
    set_defaults()
    from filelock import FileLock
    from mlflow import MlflowClient

    uri = os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
    database = uri.removeprefix("sqlite:///") if uri.startswith("sqlite:///") else None
    # Two processes that create an SQLite store at once break it, so that only one opens it at a time.
    with FileLock(f"{database}.lock", timeout=LOCK_SECONDS) if database else nullcontext():
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(experiment)
        return client, found.experiment_id if found else client.create_experiment(experiment)


def set_defaults() -> None:
    """Set what MLflow reads from the environment when it is imported; what the user has set there stays."""
    # A server that is down should cost seconds, not the minutes of MLflow's default of seven retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _log(client: Any, experiment_id: str, directory: Path) -> None:
    """Log one run from its files, then delete what earlier runs of the same key there are."""
    import pandas as pd
    from mlflow.entities import Metric, Param

    content = (directory / "record.json").read_bytes()
    record = json.loads(content)
    metrics = json.loads((directory / "metrics.json").read_text())
    key = "/".join(str(record["run"][part]) for part in ("suite", "task", "backbone", "method")) + (
        f"/seed-{record['run']['seed']}"
    )
    earlier = client.search_runs([experiment_id], filter_string=f"tags.`frod.run` = '{key}'")
    tags = {"frod.run": key, "frod.record": hashlib.sha256(content).hexdigest(), "frod.code": record["code"]["hash"]}
    tags["git_commit"] = str(record["code"]["git_commit"])
    undefined = metrics["undefined"]
    tags |= {"frod.undefined": undefined} if undefined else {}
    began, ended = (int(1000 * datetime.fromisoformat(record[name]).timestamp()) for name in ("started", "finished"))
    # With its tags from the start: one that is cut off here is found, and replaced, the next time.
    run_id = client.create_run(experiment_id, start_time=began, run_name=key, tags=tags).info.run_id
    settings = list(settings_of(record).items())
    for start in range(0, len(settings), 100):  # most parameters that one request may hold
        client.log_batch(run_id, params=[Param(k, v) for k, v in settings[start : start + 100]])
    points = [Metric(name, value, ended, 0) for name, value in figures_of(record, metrics).items()]
    points += curves(pd.read_parquet(directory / "history.parquet"), began)
    for start in range(0, len(points), BATCH):
        client.log_batch(run_id, metrics=points[start : start + BATCH])
    _log_data(client, run_id, record)
    client.set_terminated(run_id, status="FAILED" if stopped(undefined) else "FINISHED", end_time=ended)
    for run in earlier:
        client.delete_run(run.info.run_id)


def settings_of(record: Mapping[str, Any]) -> dict[str, str]:
    """What is logged of a run as parameters: dotted names and texts, at the length that MLflow takes."""
    given = record["run"] | {name: record[name] for name in ("spec", "budget", "tuning") if record.get(name)}
    return {name: text[:500] for name, text in _flat(given)}


def figures_of(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, float]:
    """What is logged of a finished run as metrics, curves aside."""
    values = {f"{split}_{name}": v for split, of in metrics["metrics"].items() for name, v in of.items()}
    trainable = record["parameters"]["trainable"]
    values |= {f"parameters/trainable_{name}": v for name, v in trainable.items()}
    values["parameters/base"] = record["parameters"]["base"]
    values["parameters/total"] = record["parameters"]["base"] + trainable["head"]
    values |= {f"system/{name}": v for name, v in record["resources"].items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def curves(history: pd.DataFrame, began: int = 0) -> list[Any]:
    """Return a history's columns as MLflow's metrics; of a long one every so many steps, and always the last.

    What is not finite is left out: MLflow would keep the largest float for an infinity. The history is that of
    `frod.training.run.Outcome`; the run `began` at so many milliseconds since 1970.
    """
    from mlflow.entities import Metric

    names = {
        c: CURVES.get(c, c) for c in map(str, history) if c in CURVES or c.startswith(("lr_", "validation_", "test_"))
    }
    points = []
    for column, name in names.items():
        rows = history[["step", "seconds", column]].dropna()
        rows = rows[rows[column].abs() != math.inf]
        every = -(-len(rows) // POINTS) or 1
        rows = rows[::-1][::every][::-1]  # counted from the last
        points += [
            Metric(name, float(value), began + int(1000 * seconds), int(step))
            for step, seconds, value in rows.itertuples(index=False)
        ]
    return points


def _log_data(client: Any, run_id: str, record: dict) -> None:
    """Log what went in as data sets: path and digest (MLflow keeps 36 characters of it)."""
    from mlflow.entities import Dataset, DatasetInput

    data = [
        DatasetInput(Dataset(name=path, digest=sha256[:36], source_type="local", source=json.dumps({"uri": path})))
        for path, sha256 in record["inputs"].items()
    ]
    client.log_inputs(run_id, datasets=data)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names and texts."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, str(value)
