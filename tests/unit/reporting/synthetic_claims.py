"""Claims and spectra of the synthetic results: one claim of each verdict, tables with every kind of cell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

LAYOUT = {"layout": 2, "suite": "smoke", "margin_points": 1.0, "confidence": 0.95}
ALIKE = {"title": "What compared runs have alike", "note": None, "columns": ["quantity", "alike"]}
BUDGET = {"same": True, "reason": "All quantities agree.", "table": ALIKE | {"rows": [["optimiser steps", "9 of 9"]]}}


def around(found: list[dict[str, Any]], beside: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """claims.json around some claims."""
    return LAYOUT | {"budget": BUDGET, "uninformative": [], "claims": found, "beside": beside or []}


def claims(called: dict[str, str]) -> dict[str, Any]:
    """One claim of each verdict; `called` gives tasks, methods or backbones other names."""
    run = "/".join(called.get(name, name) for name in ("digits", "digit_vit", "frod"))
    rows = [
        ["digits", {"value": -0.6, "low": -5.3, "high": 4.1, "text": None, "run": run}, 3, None],
        [
            "cola",
            {"value": None, "low": None, "high": None, "text": "undefined", "run": "no/such/run"},
            2,
            "one left out",
        ],
    ]
    table = {"title": "Difference by task", "note": "Paired by seed.", "columns": ["task", "points", "n", "note"]}
    return around(
        [
            _claim("matches_full_ft", "not_supported", "undecided")
            | {"tables": [table | {"rows": rows}]}
            | {"figures": [_figure("mean difference", -1.714, -4.66, 1.24, "points", 4)]},
            _claim("more_robust", "supported") | {"figures": [_figure("share", 1.7216, None, None, "%", None)]},
            _claim("converges_faster", "not_supported", "contradicted"),
            _claim("full_rank", "cannot_be_tested")
            | {"figures": [_figure("effective rank", None, None, None, "", None)]},
        ],
        [_beside(called, table | {"rows": rows})],
    )


def _beside(called: dict[str, str], table: dict[str, Any]) -> dict[str, Any]:
    """What is measured and not judged: two tables, a forest with an interval and without, and one without rows."""
    drawn = {"of": "test loss", "more_is_better": False, "digits": 3}
    rows = [
        {"method": called.get("lora", "lora"), "value": 0.012, "low": -0.1, "high": 0.124},
        {"method": called.get("full_ft", "full_ft"), "value": -0.4, "low": None, "high": None},
    ]
    return {
        "id": "ablation",
        "title": "FRoD with one thing changed",
        "text": "Each method less FRoD.",
        "forests": [{"id": "loss", **drawn, "rows": rows}, {"id": "metric", **drawn, "rows": []}],
        "tables": [table, table | {"title": "Task by task"}],
    }


def _claim(name: str, verdict: str, finding: str | None = None) -> dict[str, Any]:
    return {
        "id": name,
        "title": f"The claim {name.replace('_', ' ')}",
        "claim": "What the abstract says, in one sentence.",
        "test": "How it is tested here.",
        "verdict": verdict,
        "finding": finding,
        "reason": f"The reason of {name}: a figure of 1.5 points against a margin of 1.",
        "figures": [],
        "tables": [],
    }


def _figure(name: str, value: Any, low: Any, high: Any, unit: str, n: int | None) -> dict[str, Any]:
    return {"name": name, "value": value, "low": low, "high": high, "unit": unit, "n": n}


def spectrum(method: str, *, seeds: tuple[int, ...] = (1, 2, 3), sizes: tuple[int, ...] = (32, 48)) -> pd.DataFrame:
    """spectrum.parquet of a method: of full rank, of rank 4, or without rows."""
    rows = []
    for seed in seeds if method != "linear_probe" else ():
        for size in sizes:
            values = 3.0 * np.exp(-np.arange(size) / {"full_ft": 20, "frod": 40}.get(method, 30))
            if method == "lora":
                values[4:] = 1e-17
            row = {"seed": seed, "layer": f"blocks.0.x{size}", "category": "x", "weight_norm": 9.0}
            rows.append(row | {"out_features": size, "in_features": size, "singular_values": values.tolist()})
    columns = ["seed", "layer", "category", "weight_norm", "out_features", "in_features", "singular_values"]
    return pd.DataFrame(rows, columns=columns)
