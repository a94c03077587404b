"""What MLflow is to hold of a study, read from its files: the mirror writes it there, and the audit compares.

Runs, under the tag `frod.run`: SUITE/TASK/BACKBONE/METHOD/seed-N, one for each training; .../tune for the choice of
rates, and nested in it .../tune/trial-N-seed-M. The tag `frod.record` is the sha256 of the file that an entry was
read from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from frod.provenance import artefacts
from frod.provenance.run_keys import stopped

if TYPE_CHECKING:
    import pandas as pd

POINTS = 500  # most of one curve: a thousand runs of ten thousand steps would else be a hundred million rows
CURVES = {  # MLflow's name of each column of the history
    "loss": "loss",
    "grad_norm": "grad_norm",
    "rss_bytes": "system/memory_bytes",
    "cpu_percent": "system/cpu_utilization_percentage",
    "gpu_bytes": "system/gpu_memory_bytes",
}
Point = tuple[str, float, int, int]
"""Name, value, milliseconds since 1970, step."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One run of MLflow."""

    key: str
    name: str
    """What the interface shows: its beginning tells the runs apart, as the rest is cut off there."""
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    began: int
    """Milliseconds since 1970, as `ended`."""
    ended: int
    failed: bool = False
    curves: list[Point] = field(default_factory=list)
    inputs: dict[str, str] = field(default_factory=dict)
    """sha256 by path."""

    @property
    def last(self) -> dict[str, float]:
        """The last value of each metric, as MLflow shows it."""
        return self.metrics | {name: value for name, value, _, _ in self.curves}


def of_run(folder: Path) -> Entry:
    """Read what is logged of a finished run: SUITE/TASK/BACKBONE/METHOD/seed-N."""
    import pandas as pd

    content = (folder / "record.json").read_bytes()
    record, metrics = json.loads(content), json.loads((folder / "metrics.json").read_text("utf-8"))
    run, undefined = record["run"], metrics["undefined"]
    began, ended = (_milliseconds(record[name]) for name in ("started", "finished"))
    settings = run | {name: record[name] for name in ("spec", "budget", "tuning") if record.get(name)}
    return Entry(
        key=f"{_method(run)}/seed-{run['seed']}",
        name=f"{run['method']} {run['task']} {run['seed']}",
        tags=_tags(content, "train", record["code"], undefined),
        params=_flat(settings),
        metrics=_figures(record, metrics),
        curves=curves(pd.read_parquet(folder / "history.parquet"), began),
        inputs=record["inputs"],
        began=began,
        ended=ended,
        failed=stopped(undefined),
    )


def of_tuning(folder: Path) -> list[Entry]:
    """Read what is logged of a choice of rates, SUITE/TASK/BACKBONE/METHOD/tune: the choice, then its trials."""
    content = (folder / "rates.json").read_bytes()
    chosen = json.loads(content)
    paths = [folder / PurePosixPath(name).name for name in chosen["inputs"]]
    trials = list(map(_of_trial, paths))
    run = json.loads(paths[0].read_text("utf-8"))["spec"]
    choice = Entry(
        key=f"{_method(run)}/tune",
        name=f"{run['method']} {run['task']} rates",
        tags=_tags(content, "tune"),
        params=_flat({"run": {name: run[name] for name in ("task", "backbone", "method")}, "chosen": chosen["index"]})
        | _flat({name: chosen[name] for name in ("rates", "seeds", "box") if chosen.get(name)}),
        metrics=_validation(chosen),
        began=min(trial.began for trial in trials),
        ended=max(trial.ended for trial in trials),
    )
    return [choice, *trials]


def _of_trial(path: Path) -> Entry:
    content = path.read_bytes()
    trial = artefacts.read_json(path, keys=("spec", "started", "finished"))
    run = trial["spec"]
    return Entry(
        key=f"{_method(run)}/tune/{path.stem}",
        name=f"{run['method']} {run['task']} {path.stem}",
        tags=_tags(content, "trial", {"hash": trial["code"]}, trial["undefined"]),
        params=_flat({"spec": run, "budget": trial["budget"]}),
        metrics=_validation(trial),
        inputs=trial["inputs"],
        began=_milliseconds(trial["started"]),
        ended=_milliseconds(trial["finished"]),
        failed=stopped(trial["undefined"]),
    )


def _method(run: Mapping[str, Any]) -> str:
    return "/".join(str(run[part]) for part in ("suite", "task", "backbone", "method"))


def _tags(content: bytes, command: str, code: Mapping[str, Any] | None = None, undefined: str | None = None) -> dict:
    """Our own tags, and what the interface shows as a run's source and version."""
    tags = {"frod.record": hashlib.sha256(content).hexdigest(), "mlflow.source.name": f"frod {command}"}
    tags["mlflow.source.type"] = "LOCAL"
    if code:
        tags["frod.code"] = code["hash"]
    if code and code.get("git_commit"):
        tags["mlflow.source.git.commit"] = code["git_commit"]
    return tags | ({"frod.undefined": undefined} if undefined else {})


def _validation(of: Mapping[str, Any]) -> dict[str, float]:
    return {} if of["validation"] is None else {f"validation_{of['metric']}": float(of["validation"])}


def _figures(record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, float]:
    values = {f"{split}_{name}": v for split, of in metrics["metrics"].items() for name, v in of.items()}
    trainable = record["parameters"]["trainable"]
    values |= {f"parameters/trainable_{name}": v for name, v in trainable.items()}
    values["parameters/base"] = record["parameters"]["base"]
    values["parameters/total"] = record["parameters"]["base"] + trainable["head"]
    values |= {f"system/{name}": v for name, v in record["resources"].items()}
    return {name: float(value) for name, value in values.items() if value is not None}


def curves(history: pd.DataFrame, began: int = 0) -> list[Point]:
    """Return a history's columns as points; of a long one every so many steps, and always the last.

    What is not finite is left out: MLflow would keep the largest float for an infinity.

    Parameters
    ----------
    history : DataFrame
        As frod.training.run.Outcome has it.
    began : int
        Milliseconds since 1970 at which the run began.
    """
    import numpy as np

    names = {
        c: CURVES.get(c, c) for c in map(str, history) if c in CURVES or c.startswith(("lr_", "validation_", "test_"))
    }
    columns = {c: history[c].to_numpy(dtype=np.float64, na_value=np.nan) for c in ("step", "seconds", *names)}
    known = ~(np.isnan(columns["step"]) | np.isnan(columns["seconds"]))
    points = []
    for column, name in names.items():
        rows = np.flatnonzero(known & np.isfinite(columns[column]))
        every = -(-len(rows) // POINTS) or 1
        rows = rows[::-1][::every][::-1]  # counted from the last
        of_rows = (columns[c][rows].tolist() for c in (column, "seconds", "step"))
        points += [(name, value, began + int(1000 * seconds), int(step)) for value, seconds, step in zip(*of_rows)]
    return points


def _flat(settings: Mapping[str, Any]) -> dict[str, str]:
    """Nested settings as dotted names and texts, at the length that MLflow takes."""
    return {name: text[:500] for name, text in _leaves(settings)}


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{name}" if prefix else name)
    else:
        yield prefix, str(value)


def _milliseconds(moment: str) -> int:
    from datetime import datetime

    return int(1000 * datetime.fromisoformat(moment).timestamp())
