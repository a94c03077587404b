"""One row per run, read from each run's own record and metrics; runs that cannot be compared are refused.

"Under identical training budgets" is the precondition of every claim, so it is checked here, on what the runs recorded
that they did, and not taken from what the suite asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod import files
from frod.provenance import artefacts

if TYPE_CHECKING:
    import pandas as pd

KEY = ("suite", "task", "backbone", "method", "seed")
BUDGET = ("steps", "batch_size", "examples", "order_sha256")
RESOURCES = ("wall_seconds", "train_seconds", "step_seconds_median", "peak_rss_bytes", "peak_gpu_bytes")


def summarise(run_dirs: Iterable[Path]) -> pd.DataFrame:
    """One row per run, sorted by suite, task, backbone, method, seed.

    Parameters
    ----------
    run_dirs : iterable of Path
        Each holds record.json and metrics.json.

    Returns
    -------
    DataFrame with the columns
        suite, task, backbone, method, seed, protocol; undefined (why there is no figure on test, or None); primary (the
        metric's name), validation, test (its values), and test_best_epoch under the released protocol; <split>_<metric>
        and <split>_examples of every split (a run that stopped early has neither figures nor examples); trials (of
        learning rates; 0: none), matched (the count that the method's size was matched to); adapter_parameters,
        head_parameters, trainable_parameters, base_parameters; steps, batch_size, accumulation, examples, epochs,
        order_sha256; wall_seconds, train_seconds, step_seconds_median, peak_rss_bytes, peak_gpu_bytes; started,
        finished, code_hash, git_commit, git_dirty; record_sha256. nan where a metric is undefined.

    Raises
    ------
    ValueError
        For no runs, a run without its files or with files that do not belong together, a run given twice, and runs
        of one (suite, task, backbone, seed) that differ in their budget or read different data.
    """
    import pandas as pd

    directories = [Path(directory) for directory in run_dirs]
    if not directories:
        raise ValueError("run_dirs is empty; a summary needs at least one run")
    rows, inputs = [], []
    for directory in directories:
        record, metrics = (_read(directory / name) for name in ("record.json", "metrics.json"))
        rows.append(_row(directory, record, metrics) | {"record_sha256": files.sha256(directory / "record.json")})
        inputs.append(dict(record.get("inputs") or {}))
    seen: dict[tuple, Path] = {}
    for directory, row in zip(directories, rows):
        key = tuple(row[name] for name in KEY)
        if key in seen:
            raise ValueError(f"run {_name(row)} is given twice: {seen[key]} and {directory}")
        seen[key] = directory
    _check_comparable(rows, inputs)
    return pd.DataFrame(rows).sort_values(list(KEY), ignore_index=True)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is not there; the run has not finished, or its outputs were not pulled")
    return artefacts.read_json(path)


def _row(directory: Path, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The row of one run; an absent key is an error that names the run's directory."""
    try:
        row: dict[str, Any] = {name: record["run"][name] for name in KEY}
        if metrics["task"] != row["task"]:
            raise ValueError(f"{directory}: metrics.json is of task {metrics['task']!r}, the record of {row['task']!r}")
        _same_predictions(directory, record, metrics)
        row |= {"protocol": record["protocol"], "undefined": metrics["undefined"], "primary": metrics["primary"]}
        for split in ("validation", "test"):  # no validation under the released protocol, none of a run that stopped
            row |= {split: math.nan, f"{split}_examples": 0}
        for split, of_split in metrics["metrics"].items():
            row[split] = _number(of_split.get(metrics["primary"]))
            row |= {f"{split}_{name}": _number(value) for name, value in of_split.items()}
            row[f"{split}_examples"] = int(metrics["examples"][split])
        row["trials"] = int((record.get("tuning") or {}).get("trials", 0))
        row["matched"] = _number((record["parameters"].get("matched") or {}).get("target"))
        trainable = record["parameters"]["trainable"]
        row["adapter_parameters"] = int(trainable["adapter"])
        row["head_parameters"] = int(trainable["head"])
        row["trainable_parameters"] = int(trainable["total"])
        row["base_parameters"] = int(record["parameters"]["base"])
        row |= {name: record["budget"][name] for name in BUDGET}
        row["accumulation"] = int(record["budget"].get("accumulation") or 1)
        row["epochs"] = _number(record["budget"].get("epochs"))
        row |= {name: _number(record["resources"].get(name)) for name in RESOURCES}
        row |= {name: record.get(name) for name in ("started", "finished")}
        code = record["code"]
        row |= {"code_hash": code["hash"], "git_commit": code.get("git_commit"), "git_dirty": code.get("git_dirty")}
    except KeyError as error:
        raise ValueError(f"{directory}: record.json or metrics.json lacks {error.args[0]!r}; run it again") from error
    return row


def _same_predictions(directory: Path, record: Mapping[str, Any], metrics: Mapping[str, Any]) -> None:
    """The metrics must be those of the predictions that the record says the run wrote."""
    if metrics["undefined"] != record["undefined"] and (record["undefined"] or not metrics["metrics"]):
        raise ValueError(
            f"{directory}: undefined is {metrics['undefined']!r} in metrics.json, {record['undefined']!r} in the "
            f"record; delete {directory / 'metrics.json'} and run again"
        )
    written = [sha for path, sha in (record.get("outputs") or {}).items() if Path(path).name == "predictions.parquet"]
    if written and metrics["predictions_sha256"] not in written:
        raise ValueError(
            f"{directory}: metrics.json is of predictions {metrics['predictions_sha256'][:12]}, the run wrote "
            f"{written[0][:12]}; delete {directory / 'metrics.json'} and run again"
        )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['task']}/{row['backbone']}/{row['method']}/seed-{row['seed']}"


def _check_comparable(rows: list[dict[str, Any]], inputs: list[dict[str, str]]) -> None:
    """Refuse unlike runs among those that are compared: all methods of one task, backbone and seed."""
    first_of: dict[tuple, dict[str, Any]] = {}
    first_with: dict[tuple, tuple[dict[str, Any], str]] = {}
    for row, read in zip(rows, inputs):
        group = tuple(row[name] for name in ("suite", "task", "backbone", "seed"))
        first = first_of.setdefault(group, row)
        for field in (*BUDGET, "protocol", "trials", "primary"):
            if row[field] != first[field]:
                raise ValueError(
                    f"runs {_name(first)} and {_name(row)} cannot be compared: {field} is {first[field]} in one "
                    f"and {row[field]} in the other; methods are compared under one budget"
                )
        for path, digest in read.items():
            other, there = first_with.setdefault((*group, path), (row, digest))
            if there != digest:
                raise ValueError(
                    f"runs {_name(other)} and {_name(row)} cannot be compared: they read {path} with "
                    f"sha256 {there[:12]} and {digest[:12]}; run the older one again"
                )
