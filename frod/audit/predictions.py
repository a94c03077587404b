"""Predictions, metrics, history of a training: figures follow from predictions, those are of the task's examples.

What a model really predicted only a second training can tell (`frod replay`); here it is held against what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from frod.audit import texts
from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import AGAIN, budget
from frod.audit.study import Study, read_json
from frod.audit.traces import Traces
from frod.evaluation.loss import loss
from frod.evaluation.metrics import BEST_EPOCH, compute, defined, evaluate, validate
from frod.provenance.run_keys import RunKey

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

EVALUATE = "run `snakemake`: rule evaluate makes it from the predictions"


def check_predictions(study: Study, left: Traces, findings: Findings) -> None:
    """Every example that the training had to predict is there once, in the arrays' order, under the arrays' label."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from frod.tasks.arrays import Scored
    from frod.training.seeds import subset

    path, run = left.predictions, left.run
    if not path.is_file():
        return
    with findings.guard(path, "its examples"):
        scored = "scoring" in study.manifest(run.task, run.backbone)
        columns = ["split", "example_id", "label", *(["bytes"] if scored and not left.undefined else [])]
        table = pq.read_table(path, columns=columns)
        if left.undefined:
            findings.equal(path, "rows, as the record says that it has no figure", 0, len(table), remedy=AGAIN)
            return
        # Splits of the predictions, each with the task's split that it is of.
        splits = [] if left.is_trial else study.manifest(run.task, run.backbone)["splits"]
        wanted = {name: name for name in splits if name.startswith("test")}
        wanted |= {BEST_EPOCH: "test"} if run.protocol == "released" else {"validation": "validation"}
        findings.equal(path, "splits", sorted(wanted), sorted(pc.unique(table["split"]).to_pylist()), remedy=AGAIN)
        for split, of in wanted.items():
            data = study.split(run.task, run.backbone, of)
            most = run.training.max_validation if of == "validation" else None
            chosen = subset(data.labels, most, run.split_seed)
            rows = table.filter(pc.equal(table["split"], split))
            for column, values in (("example_id", data.ids), ("label", data.labels)):
                _compare_column(path, split, column, values[chosen], rows[column].to_numpy(), findings)
            if isinstance(data, Scored):
                # Of the type in the file: as whole numbers 1.9 would pass for 1, and accuracy_norm divides by it.
                sizes = np.array(rows["bytes"].to_pylist()).reshape(len(rows), -1)
                _compare_column(path, split, "bytes", data.bytes[chosen], sizes, findings)
            findings.checked["predictions"] += len(rows)


def _compare_column(
    path: Path, split: str, column: str, expected: np.ndarray, found: np.ndarray, findings: Findings
) -> None:
    import numpy as np

    if len(expected) != len(found):
        findings.add(path, f"rows of {split}", len(expected), len(found), remedy=AGAIN)
    elif not np.array_equal(expected, found):
        unlike = expected.shape != found.shape or (expected != found).reshape(len(found), -1).any(axis=1)
        row = int(np.argmax(unlike))
        what = f"{column} in row {row} of {split}, by the task's arrays"
        findings.add(path, what, expected[row].tolist(), found.tolist()[row], remedy=AGAIN)


def check_metrics(study: Study, key: RunKey, again: Mapping[str, Any] | str, findings: Findings) -> None:
    """Hold metrics.json against what was computed from the predictions (`again`; a text says why it could not be)."""
    path = study.folder(key) / "metrics.json"
    if not path.is_file():
        return
    if isinstance(again, str):
        findings.add(path.with_name("predictions.parquet"), f"metrics cannot be computed: {again}", remedy=AGAIN)
        return
    found = read_json(path)
    if not isinstance(found, dict):
        findings.add(path, "is no metrics", "a JSON table", "something else", remedy=EVALUATE)
        return
    if findings.equal(path, "does not follow from predictions.parquet", again, found, remedy=EVALUATE):
        # Digits beyond a float's change no value; no other hash covers this file, so its text has to be the same.
        texts.hold(path, again, "evaluate", findings, remedy=EVALUATE)
    findings.checked["metrics"] += sum(map(len, again["metrics"].values()))


def compute_metrics(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any] | str:
    """What metrics.json should hold, or why it cannot be computed."""
    try:
        undefined = (read_json(folder / "record.json") or {}).get("undefined")
        return evaluate(folder / "predictions.parquet", manifest, undefined)
    except Exception as error:  # whatever a broken file makes go wrong: a finding, not the end
        return f"{type(error).__name__}: {error}"


def compute_validation(path: Path, manifest: Mapping[str, Any]) -> dict[str, Any] | str:
    """The figure of a trial, under the keys of metrics.json, and its loss; or why they cannot be computed."""
    import pandas as pd

    try:
        primary, classes = manifest["metrics"][0], int(manifest["num_classes"])
        table = pd.read_parquet(path)
        validate(table, num_classes=classes, read=manifest.get("read"))
        found = compute(table, [primary], num_classes=classes if classes > 1 else None)
        return {"metrics": {"validation": {primary: defined(found[primary])}}, "loss": loss(table)}
    except Exception as error:  # whatever a broken file makes go wrong: a finding, not the end
        return f"{type(error).__name__}: {error}"


def check_history(
    study: Study, left: Traces, table: pa.Table, again: Mapping[str, Any] | str, findings: Findings
) -> None:
    """Hold the history against budget, rates and metrics, and look for a test that was watched."""
    path, run = left.history, left.run
    with findings.guard(path, "its steps"):
        planned = budget(study, run)
        steps, examples = table["step"].to_pylist(), sum(table["examples"].to_pylist())
        stopped = left.undefined  # then the history ends early: `divergence` holds where against the record
        wanted = min(len(steps), planned["steps"]) if stopped else planned["steps"]
        findings.equal(path, "steps", list(range(1, wanted + 1)), steps, remedy=AGAIN)
        if wanted == planned["steps"]:
            findings.equal(path, "sum of examples", planned["examples"], examples, remedy=AGAIN)
        primary = study.manifest(run.task, run.backbone)["metrics"][0]
        watched = "test" if run.protocol == "released" else "validation"
        columns = [name for name in table.column_names if name.startswith(("validation", "test"))]
        findings.equal(path, "splits watched", [f"{watched}_{primary}"], columns, remedy=AGAIN)
        _check_rates(study, left, table, findings)
        if not stopped and isinstance(again, Mapping) and f"{watched}_{primary}" in columns:
            last = table[f"{watched}_{primary}"][-1].as_py()
            last = None if last is None else defined(last)
            expected = again["metrics"].get(watched, {}).get(primary, NOTHING)
            what = f"last {watched}_{primary}, by {left.predictions.name}"
            findings.equal(path, what, expected, last, remedy=AGAIN)
        findings.checked["histories"] += 1


def _check_rates(study: Study, left: Traces, table: pa.Table, findings: Findings) -> None:
    """The rates of each step are the training's, times the schedule."""
    from frod.training.schedule import factor

    run = left.run
    group_of = {"lr": "lr_body"}
    steps = budget(study, run)["steps"]
    made_of = ("schedule", steps, run.training.model_dump_json())
    schedule = study.once(made_of, lambda: [factor(step, steps, run.training) for step in range(steps)])
    for name, rate in left.rates.items():
        column = group_of.get(name, name)
        there = table[column].to_pylist() if column in table.column_names else NOTHING
        expected = [rate * scale for scale in schedule[: table.num_rows]]
        findings.equal(left.history, column, expected, there, remedy=AGAIN)
