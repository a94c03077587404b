"""Evidence of suites that never ran: each run's test figure, losses and trials as a test wants them, the rest alike."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from frod.claims import Evidence, OnTest
from frod.provenance.run_keys import RunKey

LABELS = {"full_ft": "full fine-tuning", "frod": "FRoD", "lora": "LoRA", "vera": "VeRA", "linear_probe": "linear probe"}
KINDS = {"full_ft": "full_ft", "frod": "frod", "lora": "peft", "vera": "peft", "linear_probe": "linear_probe"}
STEPS = 100
CLASSES, ROWS = 10, 400
START = math.log(CLASSES)
SHOWN, LOST, OPEN = ("supported", "shown"), ("not_supported", "contradicted"), ("not_supported", "undecided")
UNTESTED = ("cannot_be_tested", None)


def falling(pace, *, floor=0.0, start=START, steps=STEPS):
    """A loss that falls from the uniform guess's, faster with a smaller pace."""
    return floor + (start - floor) * np.exp(-np.arange(steps) / pace)


def history(losses, *, second=0.1):
    steps = np.arange(1, len(losses) + 1)
    return pd.DataFrame({"step": steps, "loss": np.asarray(losses, dtype=float), "seconds": second * steps})


def record(key, *, seconds=10.0):
    inputs = {
        f"data/models/{key.backbone}/source.json": "a" * 64,
        f"data/tasks/{key.task}/{key.backbone}/manifest.json": "b" * 64,
        f"results/made_up/{key.task}/{key.backbone}/{key.method}/tune/rates.json": f"{key.method:f<64}",
    }
    if key.method == "frod":
        inputs[f"data/bases/{key.backbone}/ridge-0.001-float64/manifest.json"] = "c" * 64
    return {
        "protocol": "audited",
        "inputs": inputs,
        "spec": {"training": {"epochs": 2.0, "schedule": "cosine", "clip": 1.0}},
        "budget": {"steps": STEPS, "batch_size": 32, "accumulation": 1, "examples": 32 * STEPS}
        | {"order_sha256": f"{key.seed:064}"},
        "tuning": {"trials": 2, "seeds": [100], "chosen": 0},
        "evaluations": {"validation": 2, "test": 1},
        "resources": {"train_seconds": seconds},
    }


BOX = {"lr": [1e-4, 1e-1], "lr_head": [1e-4, 1e-2]}


def rates(validation, *, box=BOX, diverged=()):
    """What rates.json holds: trials with these figures, drawn in the middle of a box; the first was chosen."""
    trials = [
        {
            "rates": {"lr": 1e-3 * 10 ** (i / max(1, len(validation) - 1)), "lr_head": 1e-3},
            "validation": value,
            "undefined": "diverged: step 3" if i in diverged else "constant: pearson" if value is None else None,
            "train_seconds": 1.0,
        }
        for i, value in enumerate(validation)
    ]
    budget = {"steps": STEPS, "examples": 32 * STEPS}
    return {"trials": trials, "index": 0, "seeds": [100], "box": box, "metric": "accuracy", "budget": budget}


def evidence(
    points, *, margin=1.0, paces=None, tuning=None, spectra=None, sharpness=None, classes=CLASSES, losses=None
):
    """A suite of these test figures.

    Parameters
    ----------
    points : dict of task to dict of method to list of float
        In points, one for each seed; None: there is no such run, nan: its metric is undefined.
    paces : dict of method to float, optional
        Of the losses.
    losses : dict of RunKey to float, optional
        On test; default: they follow from the figure. All blocks of examples have the run's own figure.
    """
    rows, histories, records, on_test = [], {}, {}, {}
    for task, methods in points.items():
        for method, values in methods.items():
            for seed, value in enumerate(values):
                if value is None:
                    continue
                key = RunKey(task, "small", method, seed)
                rows.append(
                    {"task": task, "backbone": "small", "method": method, "seed": seed, "test": value / 100}
                    | {"primary": "accuracy", "undefined": "constant: it does not vary" if math.isnan(value) else None}
                    | {"adapter_parameters": 1720, "head_parameters": 500, "base_parameters": 100_000}
                )
                histories[key] = history(falling((paces or {}).get(method, 20.0) * (1 + 0.01 * seed)))
                records[key] = record(key)
                if not math.isnan(value):
                    on_test[key] = OnTest((losses or {}).get(key, 1 - value / 100), np.full(20, value / 100))
    return Evidence(
        suite="made_up",
        margin=margin,
        summary=pd.DataFrame(rows),
        histories=histories,
        records=records,
        manifests={(task, "small"): {"num_classes": classes, "splits": {"test": {"rows": ROWS}}} for task in points},
        tuning=tuning or {},
        spectra=spectra or {},
        sharpness=sharpness or {},
        on_test=on_test,
        labels=LABELS,
        kinds=KINDS,
    )


def diverged(found, *keys, steps=7):
    """The same evidence with some runs (task, method, seed) diverged: no figure, and a history that ends in nan."""
    summary, histories, records = found.summary.copy(), dict(found.histories), dict(found.records)
    on_test = dict(found.on_test)
    for task, method, seed in keys:
        key = RunKey(task, "small", method, seed)
        rows = (summary["task"] == task) & (summary["method"] == method) & (summary["seed"] == seed)
        assert rows.sum() == 1, key
        why = f"diverged: step {steps} of {STEPS}: loss nan"
        summary.loc[rows, ["test", "undefined"]] = math.nan, why
        histories[key] = histories[key].iloc[:steps].assign(loss=[*histories[key]["loss"][: steps - 1], math.nan])
        on_test.pop(key, None)
        records[key] = records[key] | {"undefined": why, "evaluations": {"validation": 0, "test": 0}}
    return replace(found, summary=summary, histories=histories, records=records, on_test=on_test)


def noisy(means, *, tasks=8, seeds=3, spread=0.3, seed=0):
    """Test figures by task and method: these means in points, and noise."""
    rng = np.random.default_rng(seed)
    return {
        f"task_{t}": {method: rng.normal(mean, spread, seeds).tolist() for method, mean in means.items()}
        for t in range(tasks)
    }


def said(claim):
    """Verdict and finding: one of the four above."""
    return claim["verdict"], claim["finding"]


def table(claim, title):
    """A table by its title, as a list of rows, each a dict by column."""
    (found,) = [of for of in claim["tables"] if of["title"] == title]
    return [dict(zip(found["columns"], row)) for row in found["rows"]]


def figures(claim):
    return {figure["name"]: figure for figure in claim["figures"]}
