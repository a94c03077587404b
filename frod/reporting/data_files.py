"""The report's tables for machines: metrics.json, curves.csv, runs.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod.provenance.hashes import MANIFESTS
from frod.provenance.records import machine
from frod.provenance.run_keys import RunKey
from frod.reporting.report_data import Report
from frod.reporting.thinned_curves import thin

CURVE_POINTS = 100
DIGESTS = ("adapter.safetensors", "predictions.parquet")


def curves_csv(histories: Mapping[RunKey, pd.DataFrame]) -> str:
    """Training loss of every run, for `dvc plots`: columns task, backbone, method, seed, step, loss.

    Thinned to means over at most 100 stretches of steps; the histories themselves lie with the runs.
    """
    import pandas as pd

    rows = [
        (*key, round(step), loss) for key in sorted(histories) for step, loss in thin(histories[key], bins=CURVE_POINTS)
    ]
    columns = ["task", "backbone", "method", "seed", "step", "loss"]
    return pd.DataFrame(rows, columns=columns).to_csv(index=False, lineterminator="\n", float_format="%.6g")


def runs_json(records: Mapping[RunKey, Mapping[str, Any]]) -> str:
    """Of every run, a line each, the sha256 of adapter and predictions, what they were made on and of.

    What a second run of the suite is held against where the records themselves are not there.
    """
    lines = []
    for key in sorted(records):
        outputs = {PurePath(path).name: digest for path, digest in (records[key].get("outputs") or {}).items()}
        facts = {PurePath(name).stem: outputs[name] for name in DIGESTS if name in outputs}
        facts |= machine(records[key]["environment"])
        read = (path for path in records[key]["inputs"] if PurePath(path).name in MANIFESTS)
        facts["inputs"] = {path: records[key]["inputs"][path] for path in read}
        lines.append(f"    {json.dumps(key.path)}: {json.dumps(facts, ensure_ascii=False, allow_nan=False)}")
    return '{\n  "layout": 1,\n  "runs": {\n' + ",\n".join(lines) + "\n  }\n}\n"


def metrics_json(report: Report) -> str:
    """Means over seeds and differences to the reference by task, and the claims' figures, flat, for `dvc metrics`.

    Fractions, not points, under TASK/BACKBONE/METHOD/WHAT; what is undefined has no key, and `undefined` says of how
    many runs. Under claims/ID stand the main figures in their own units, and `supported`: 1 or 0, no key where the
    claim cannot be tested; under same_budget 1 or 0.
    """
    values: dict[str, Any] = {"runs": len(report.summary), "runs_missing": len(report.missing)}
    values["runs_undefined"] = len(report.undefined)
    values["same_budget"] = int(report.claims["budget"]["same"])
    if report.headline is not None:
        values["mean_difference_over_tasks"] = report.headline.over_tasks.mean
    for comparison in report.comparisons:
        for result in comparison.results:
            prefix = f"{comparison.task}/{comparison.backbone}/{result.method}"
            if result.spread is not None:
                values[f"{prefix}/test_{comparison.primary}"] = result.spread.mean
                values[f"{prefix}/spread"] = result.spread.spread
            if result.undefined:
                values[f"{prefix}/undefined"] = len(result.undefined)
            if result.difference is not None:
                values[f"{prefix}/difference"] = result.difference.mean
                values[f"{prefix}/difference_low"] = result.difference.low
                values[f"{prefix}/difference_high"] = result.difference.high
    values |= _claimed(report.claims)
    finite = {key: value for key, value in values.items() if math.isfinite(value)}
    defined = {key: value if isinstance(value, int) else round(value, 6) for key, value in finite.items()}
    return json.dumps(defined, indent=2, allow_nan=False) + "\n"


def _claimed(claims: Mapping[str, Any]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for claim in claims["claims"]:
        prefix = f"claims/{claim['id']}"
        if claim["verdict"] != "cannot_be_tested":
            values[f"{prefix}/supported"] = int(claim["verdict"] == "supported")
        for index, figure in enumerate(claim["figures"]):
            name = re.sub(r"[^a-z0-9]+", "_", figure["name"].lower()).strip("_")
            if f"{prefix}/{name}" in values:  # names that differ in what a key cannot hold
                name = f"{name}_{index}"
            for suffix, field in (("", "value"), ("_low", "low"), ("_high", "high")):
                if figure.get(field) is not None:
                    values[f"{prefix}/{name}{suffix}"] = figure[field]
    return values
