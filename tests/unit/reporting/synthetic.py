"""Results of a suite that never ran: shaped like real ones, with the odd cases that real ones bring.

Three tasks, four methods, three seeds; one run missing, one backbone with a single seed, one run that diverged for a
while, one correlation that is undefined, and one task without validation during training.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import synthetic_claims

from frod.provenance.run_keys import RunKey
from frod.reporting.report_data import Report

METHODS = ("full_ft", "frod", "lora", "linear_probe")
BASE = {"digit_vit": 1_205_000, "minilm": 22_565_376, "micro_llama": 803_072}
TASKS = {
    ("digits", "digit_vit"): ("accuracy", 0.965, (1, 2, 3), 450),
    ("territory_language", "minilm"): ("accuracy", 0.81, (1, 2, 3), 1210),
    ("cola", "minilm"): ("matthews_correlation", 0.42, (1, 2, 3), 1043),
    ("sums", "micro_llama"): ("accuracy", 0.88, (1,), 2000),
}
OFFSET = {"full_ft": 0.0, "frod": -0.008, "lora": -0.014, "linear_probe": -0.19}
SHARE = {"full_ft": 1.0, "frod": 0.0206, "lora": 0.011, "linear_probe": 0.0}
PACE = {"full_ft": 1.0, "frod": 1.31, "lora": 0.92, "linear_probe": 0.37}
TUNERS = {
    "full_ft": {"kind": "full_ft", "sparse_rate": None},
    "frod": {"kind": "frod", "sparse_rate": 0.02},
    "lora": {"kind": "peft", "config": "LoraConfig", "arguments": {"r": 8, "lora_alpha": 16}},
    "linear_probe": {"kind": "linear_probe"},
}
STEPS = 180
CHANGES = [
    {"field": "margin", "then": 1.0, "now": 20.0},
    {"field": "methods.lora.label", "then": None, "now": "<b>LoRA</b>"},
    {"field": "cannot_show", "then": ["Speed: " + "very long. " * 60], "now": []},
]


def results(*, rename: dict[str, str] | None = None, tasks: tuple[str, ...] | None = None) -> Report:
    """All of it, or of some tasks alone; `rename` gives tasks, methods or backbones other names."""
    called = rename or {}
    chosen = {pair: of for pair, of in TASKS.items() if tasks is None or pair[0] in tasks}
    planned = [
        RunKey(*(called.get(name, name) for name in (task, backbone, method)), seed)
        for (task, backbone), (_, _, seeds, _) in chosen.items()
        for method in METHODS
        for seed in seeds
    ]
    rows, histories, records = [], {}, {}
    for (task, backbone), (primary, level, seeds, examples) in chosen.items():
        for method in METHODS:
            for seed in seeds:
                key = RunKey(*(called.get(name, name) for name in (task, backbone, method)), seed)
                if (task, method, seed) == ("territory_language", "lora", 3):
                    continue
                rng = np.random.default_rng([len(task), METHODS.index(method), seed])
                test = level + OFFSET[method] + 0.012 * rng.normal() + 0.006 * (seed - 2)
                if (task, method, seed) == ("cola", "linear_probe", 2):
                    test = math.nan
                numbers = {"primary": primary, "test": test, "examples": examples, "share": SHARE[method]}
                rows.append(_row(key, BASE[backbone], numbers, PACE[method]))
                histories[key] = _history(rng, method, primary, test, validated=task != "sums")
                if (task, method, seed) == ("cola", "lora", 1):
                    histories[key].loc[60:66, "loss"] = math.nan
                records[key] = _record(key, method)
    return Report(
        summary=pd.DataFrame(rows),
        histories=histories,
        records=records,
        suite=_suite(planned, called),
        manifests=_manifests(called),
        claims=synthetic_claims.claims(called),
        since={"commit": "89abcdef" * 5, "changes": CHANGES},
        spectra={
            (called.get("digits", "digits"), "digit_vit", called.get(method, method)): synthetic_claims.spectrum(method)
            for method in METHODS
        },
    )


def diverged(found: Report, lost: dict[RunKey, int]) -> Report:
    """The same with some runs diverged at a step: no figures, a loss that grows without bounds, a history to there."""
    summary, histories, records = found.summary.copy(), dict(found.histories), dict(found.records)
    figures = [name for name in summary if name.startswith(("test", "validation"))]
    for key, step in lost.items():
        said = f"diverged: step {step} of {STEPS}: loss inf, gradient norm nan, rates lr_head 9.9. Lower them."
        rows = (summary[list(RunKey._fields)] == list(key)).all(axis="columns")
        assert rows.sum() == 1, key
        summary.loc[rows, figures] = math.nan
        summary.loc[rows, ["test_examples", "validation_examples"]] = 0
        summary.loc[rows, "undefined"] = said
        growing = 2.3 * 1e5 ** np.arange(step)
        growing[-1] = math.inf
        histories[key] = histories[key].iloc[:step].assign(loss=growing)
        records[key] = records[key] | {"undefined": said, "evaluations": {"validation": 0, "test": 0}}
    return replace(found, summary=summary, histories=histories, records=records)


def _row(key: RunKey, base: int, numbers: dict[str, Any], pace: float) -> dict[str, Any]:
    head = 650 if key.task == "digits" else 770
    adapter, test, primary = int(numbers["share"] * base), numbers["test"], numbers["primary"]
    return {
        "suite": "smoke",
        "task": key.task,
        "backbone": key.backbone,
        "method": key.method,
        "seed": key.seed,
        "primary": primary,
        "validation": test - 0.004,
        f"validation_{primary}": test - 0.004,
        "validation_examples": 300,
        "test": test,
        "undefined": "constant: pearson is not defined" if math.isnan(test) else None,
        f"test_{primary}": test,
        "test_examples": numbers["examples"],
        "adapter_parameters": adapter,
        "head_parameters": head,
        "trainable_parameters": adapter + head,
        "base_parameters": base,
        "steps": STEPS,
        "batch_size": 32,
        "accumulation": 1,
        "examples": STEPS * 32,
        "epochs": 3.0,
        "order_sha256": hashlib.sha256(f"{key.task}{key.seed}".encode()).hexdigest(),
        "wall_seconds": 20.0 * pace,
        "train_seconds": STEPS * 0.06 * pace,
        "step_seconds_median": 0.06 * pace * (1 + 0.01 * key.seed),
        "peak_rss_bytes": 6.1e8 + 1e8 * pace,
        "peak_gpu_bytes": math.nan,
        "started": f"2026-03-01T10:0{key.seed}:00+00:00",
        "finished": f"2026-03-01T10:1{key.seed}:00+00:00",
        "code_hash": "c0de" * 16,
        "git_commit": "0123456789abcdef",
        "git_dirty": False,
        "record_sha256": hashlib.sha256("/".join(map(str, key)).encode()).hexdigest(),
    }


def _history(rng: np.random.Generator, method: str, primary: str, test: float, *, validated: bool) -> pd.DataFrame:
    step = np.arange(1, STEPS + 1)
    floor = {"full_ft": 0.03, "frod": 0.06, "lora": 0.09, "linear_probe": 0.9}[method]
    loss = (2.3 * np.exp(-step / (25 * PACE[method])) + floor) * np.exp(0.25 * rng.normal(size=STEPS))
    validation = np.full(STEPS, np.nan)
    if validated and math.isfinite(test):
        validation[59::60] = test * np.array([0.9, 0.97, 1.0])
    columns = {"step": step, "epoch": step / 60, "loss": loss, "examples": step * 32, "seconds": step * 0.06}
    rates = {"frod": {"scale": 2e-3, "rotation": 5e-4}, "linear_probe": {}}.get(method, {"body": 1e-4}) | {"head": 1e-3}
    columns |= {f"lr_{group}": rate * np.minimum(step / 18, 1) for group, rate in rates.items()}
    return pd.DataFrame(columns | {f"validation_{primary}": validation})


def _record(key: RunKey, kind: str) -> dict[str, Any]:
    return {
        "run": {"suite": "smoke", **key._asdict()},
        "inputs": {f"data/models/{key.backbone}/source.json": "a" * 64},
        "outputs": {f"results/smoke/{key.path}/adapter.safetensors": "b" * 64},
        "evaluations": {"validation": 4, "test": 1},
        "seeds": {"run": key.seed, "split": 0, "order": 3278857439845718984},
        "parameters": {"trainable": {"adapter": 9000, "head": 650, "total": 9650}, "base": 1205000},
        "resources": {"wall_seconds": 20.0, "train_seconds": 11.0, "peak_rss_bytes": 612345678, "peak_gpu_bytes": None},
        "spec": {
            "adapter": TUNERS[kind],
            "training": {"epochs": 3.0, "schedule": "cosine", "warmup": 0.1, "weight_decay": 0.0, "clip": 1.0},
        },
        "budget": {"train_examples": 1000, "steps": 180, "order_sha256": "c" * 64},
        "code": {"hash": "c0de" * 16, "git_commit": "0123456789abcdef", "git_dirty": key.seed == 3},
        "environment": {
            "python": "3.11.2",
            "packages": {"torch": "2.15.0", "transformers": "5.23.0", "timm": "1.0.31", "peft": "0.21.2"},
            "processor": "Example CPU @ 2.00 GHz",
            "accelerator": None,
            "threads": 1,
            "deterministic": {"algorithms": True, "tf32_matmul": False},
        },
        "started": f"2026-03-01T10:0{key.seed}:00+00:00",
        "finished": f"2026-03-01T10:1{key.seed}:00+00:00",
    }


def _suite(planned: list[RunKey], called: dict[str, str]) -> dict[str, Any]:
    return {
        "name": "smoke",
        "title": "FRoD against full fine-tuning: the smoke suite",
        "description": "Small models and small data, minutes on two cores: it shows that the machinery is right.",
        "cannot_show": [
            "Whether FRoD matches full fine-tuning on the paper’s benchmarks: none of them is here.",
            "Speed at the paper’s sizes: these models fit in a processor’s cache.",
        ],
        "rates_chosen": "by validation, over three rates per group for every method, on seed 0, which is not reported.",
        "methods": {called.get(method, method): {"kind": method, "label": None} for method in METHODS},
        "runs": planned,
    }


def _manifests(called: dict[str, str]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (called.get(task, task), called.get(backbone, backbone)): {
            "num_classes": 10,
            "splits": {"train": {"rows": 1047}, "validation": {"rows": 300}, "test": {"rows": examples}},
            "source": {"what": "sklearn.datasets:load_digits", "revision": None},
        }
        for (task, backbone), (_, _, _, examples) in TASKS.items()
    }
