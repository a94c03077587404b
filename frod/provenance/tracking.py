"""MLflow as a mirror of a finished study: everything logged is read from files.

So a run is logged again, or later, or to another server, without training it again; a killed training leaves no run
that is RUNNING for ever; and a store that is down costs nothing but a message. What is logged says
`frod.provenance.mlflow_entries`; logging again replaces what differs, and leaves what is there as the files say. A run
that diverged stands as failed.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.provenance import secrets
from frod.provenance.artefacts import first_line

if TYPE_CHECKING:
    from frod.provenance.mlflow_entries import Entry

LOCAL = "sqlite:///"
DEFAULT_URI = f"{LOCAL}mlflow.db"
BATCH = 1000  # most metrics that one request may hold
PARAMS = 100  # most parameters
LOCK_SECONDS = 120  # that another process may take to open the store
DAMAGED = ("malformed", "not a database")  # SQLite's words for a file that was cut or overwritten
CONTEXTS = {"tasks": "training", "models": "weights", "bases": "basis"}  # of inputs, by their folder
REPORT = ("index.html", "summary.md", "claims.json", "results.csv", "figures")
EXPERIMENT = {  # which of its interfaces MLflow opens, and what stands above the table
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.note.content": "A mirror of the study's files, written by `frod evaluate` and `frod track`. The page is an "
    "artefact of the run `report`. To compare, group by `run.task` and choose the columns test_* and "
    "parameters/trainable_total.",
}


def log_or_say(run_dirs: list[Path], experiment: str, counts: Counter[str] | None = None) -> bool:
    """Log runs and the choices of their rates; on a store that cannot be had say so on stderr and go on.

    Returns whether all stand there; `counts` is told how many were "logged" and how many "there" before.
    """
    from frod.provenance import mlflow_entries

    counts = Counter() if counts is None else counts

    def log(client: Any, number: str) -> None:
        for directory in run_dirs:
            _log(client, number, mlflow_entries.of_run(directory), counts)
        for tune in dict.fromkeys(directory.parent / "tune" for directory in run_dirs):
            if not (tune / "rates.json").exists():
                continue
            choice, *trials = mlflow_entries.of_tuning(tune)
            parent = _log(client, number, choice, counts)
            for trial in trials:
                _log(client, number, trial, counts, parent)

    return _mirrored(log, experiment, Path(*run_dirs[0].parts[:-4]))


def log_report_or_say(report: Path, experiment: str, results: Path, counts: Counter[str] | None = None) -> bool:
    """Log a report's page, tables and figures as the artefacts of a run of their own; otherwise as `log_or_say`."""
    from frod import files

    counts = Counter() if counts is None else counts

    def log(client: Any, number: str) -> None:
        key = f"{experiment}/report"
        tags = {
            "frod.run": key,
            "frod.record": files.sha256(report / "report.json"),
            "mlflow.source.name": "frod report",
        }
        earlier = _there(client, number, key)
        if len(earlier) == 1 and _says(earlier[0], "FINISHED", tags, {}, {}):
            counts["there"] += 1
            return
        run = client.create_run(number, run_name="report", tags=tags).info.run_id
        for name in REPORT:
            if (report / name).is_dir():
                client.log_artifacts(run, report / name, name)
            else:
                client.log_artifact(run, report / name)
        client.set_terminated(run)
        for old in earlier:
            client.delete_run(old.info.run_id)
        counts["logged"] += 1

    return _mirrored(log, experiment, results)


def off() -> bool:
    """Whether runs are not mirrored."""
    return os.environ.get("FROD_TRACKING") == "off"


def _mirrored(log: Callable[[Any, str], None], experiment: str, results: Path) -> bool:
    if off():
        print("tracking is off")
        return True
    try:
        with _alone():
            log(*_open(experiment))
    except Exception as error:  # any failure of the mirror, of whatever library beneath it, must not stop the study
        first = first_line(error)
        damaged = any(sign in first for sign in DAMAGED)
        remedy = "move the damaged database aside, then log them" if damaged else "log them later"
        why = secrets.removed_from(f"{type(error).__name__}: {first}")
        print(f"tracking: not in MLflow ({why}). The files are whole; {remedy}: frod track {results}", file=sys.stderr)
        return False
    return True


def _alone() -> AbstractContextManager[object]:
    """Keep other processes of ours out of an SQLite store: two that make its tables, or a data set's row, break it."""
    from filelock import FileLock

    uri = _uri()
    return FileLock(f"{uri.removeprefix(LOCAL)}.lock", timeout=LOCK_SECONDS) if uri.startswith(LOCAL) else nullcontext()


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def _open(experiment: str) -> tuple[Any, str]:
    """Connect to the store and return its client and the experiment's number; both are made where they are missing."""
    set_defaults()
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=_uri())
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return client, client.create_experiment(experiment, tags=EXPERIMENT)
    if found.lifecycle_stage == "deleted":  # its name stays taken
        client.restore_experiment(found.experiment_id)
        print(f"tracking: experiment {experiment} was deleted in MLflow; restored", file=sys.stderr)
    for name in EXPERIMENT.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, name, EXPERIMENT[name])
    return client, found.experiment_id


def set_defaults() -> None:
    """Set what MLflow reads from the environment when it is imported; what the user has set there stays."""
    # A server that is down should cost seconds, not the minutes of MLflow's default of seven retries.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def _log(client: Any, experiment: str, entry: Entry, counts: Counter[str], parent: str | None = None) -> str:
    """Log one entry where it is not there, then delete earlier runs of its key; returns MLflow's number of the run."""
    from mlflow.entities import Metric, Param

    earlier = _there(client, experiment, entry.key)
    tags = {"frod.run": entry.key} | entry.tags | ({"mlflow.parentRunId": parent} if parent else {})
    status = "FAILED" if entry.failed else "FINISHED"
    if len(earlier) == 1 and _says(earlier[0], status, tags, entry.params, entry.last):
        counts["there"] += 1
        return str(earlier[0].info.run_id)
    counts["logged"] += 1
    # With its tags from the start: one that is cut off here is found, and replaced, the next time.
    run = client.create_run(experiment, start_time=entry.began, run_name=entry.name, tags=tags).info.run_id
    params = [Param(name, text) for name, text in entry.params.items()]
    for start in range(0, len(params), PARAMS):
        client.log_batch(run, params=params[start : start + PARAMS])
    metrics = [Metric(name, value, entry.ended, 0) for name, value in entry.metrics.items()]
    metrics += [Metric(*point) for point in entry.curves]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[start : start + BATCH])
    _log_data(client, run, entry.inputs)
    client.set_terminated(run, status=status, end_time=entry.ended)
    for old in earlier:
        client.delete_run(old.info.run_id)
    return run


def _there(client: Any, experiment: str, key: str) -> list[Any]:
    return list(client.search_runs([experiment], filter_string=f"tags.`frod.run` = '{key}'"))


def _says(run: Any, status: str, tags: dict[str, str], params: dict[str, str], metrics: dict[str, float]) -> bool:
    """Whether a run has ended so, which it is told last, and says this; MLflow adds tags of its own."""
    return (
        run.info.status == status
        and tags.items() <= run.data.tags.items()
        and (run.data.params, run.data.metrics) == (params, metrics)
    )


def _log_data(client: Any, run: str, inputs: dict[str, str]) -> None:
    """Log what went in as data sets: name, digest (MLflow keeps 36 characters of it) and path."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    data = []
    for path in sorted(inputs, key=lambda path: "tasks" not in Path(path).parts):  # the first one is what a table shows
        parts, sha256 = Path(path).parts, inputs[path]
        kind = next((part for part in parts if part in CONTEXTS), parts[-2])
        name, source = " ".join(parts[parts.index(kind) + 1 : -1]) or kind, json.dumps({"uri": path})
        dataset = Dataset(name=name, digest=sha256[:36], source_type="local", source=source)
        data.append(DatasetInput(dataset, tags=[InputTag("mlflow.data.context", CONTEXTS.get(kind, "rates"))]))
    client.log_inputs(run, datasets=data)
