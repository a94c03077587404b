"""What a study leaves, by hand: files of a run, of a suite and of a backbone. One builder for all tests."""

import json
from pathlib import Path

import pandas as pd
import yaml

from frod.provenance import artefacts

SUITE = {
    "title": "One",
    "description": "One task.",
    "seeds": [0],
    "methods": {"full_ft": {}},
    "experiments": [{"tasks": ["digits"], "backbone": "digit_vit", "rates": {"full_ft": {"lr": 0.1, "lr_head": 0.1}}}],
}
SHA = "ab" * 32
RECORD = {
    "spec": {"rates": {"lr": 0.1}},
    "protocol": "audited",
    "tuning": {"trials": 3, "seeds": [100], "chosen": 1},
    "evaluations": {"validation": 2, "test": 1},
    "inputs": {"data/tasks/digits/digit_vit/manifest.json": "cd" * 32},
    "code": {"hash": "c0de", "git_commit": "0123", "git_dirty": False},
    "environment": dict.fromkeys(("python", "packages", "processor", "accelerator", "threads", "deterministic")),
    "budget": {"steps": 40, "batch_size": 32, "accumulation": 1, "examples": 1280, "epochs": 2.0},
    "parameters": {"trainable": {"adapter": 100, "head": 50, "total": 150}, "base": 10_000},
    "resources": {"wall_seconds": 4.0, "train_seconds": 3.5, "step_seconds_median": 0.07, "peak_rss_bytes": 5e8}
    | {"peak_gpu_bytes": None},
    "seeds": {"order": 0},
    "undefined": None,
    "outputs": {"predictions.parquet": SHA},
    "started": "2026-01-01T00:00:00+00:00",
    "finished": "2026-01-01T00:01:00+00:00",
}
METRICS = {
    "metrics": {"validation": {"accuracy": None, "f1": 0.5}, "test": {"accuracy": 0.9, "f1": 0.8}},
    "primary": "accuracy",
    "examples": {"validation": 100, "test": 200},
    "undefined": None,
    "predictions_sha256": SHA,
}
HISTORY = {"step": [1, 2], "seconds": [0.5, 1.0], "loss": [2.0, 1.0]}


def record(method="frod", seed=0, *, suite="smoke", task="digits"):
    """A record with all that one must have; nothing of it is shared with another."""
    run = {"suite": suite, "task": task, "backbone": "digit_vit", "method": method, "seed": seed}
    of = json.loads(json.dumps({"run": run} | RECORD))
    of["budget"]["order_sha256"] = f"o{seed}"
    return of


def write_run(results, *run, suite="smoke", task="digits", change=None, metrics_change=None, **columns):
    """The files of a run (method, seed) of two steps below results/SUITE; changes edit what they are given in place."""
    of = record(*run, suite=suite, task=task)
    metrics = json.loads(json.dumps({"task": task} | METRICS))
    for edit, what in ((change, of), (metrics_change, metrics)):
        if edit:
            edit(what)
    key = of["run"]
    folder = results / suite / task / key["backbone"] / key["method"] / f"seed-{key['seed']}"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text(json.dumps(of))
    (folder / "metrics.json").write_text(json.dumps(metrics))
    pd.DataFrame(HISTORY | columns).to_parquet(folder / "history.parquet")
    return folder


def write_suite(name="one", folder=Path(), **changes):
    """workflow/suites/NAME.yaml of one task and one method."""
    path = folder / "workflow" / "suites" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(SUITE | changes, sort_keys=False))


def write_source(folder, library, files=None, **inputs):
    """source.json of a backbone's folder, which takes these inputs."""
    source = {"name": folder.name, "library": library, "inputs": inputs, "files": files or {}}
    (folder / "source.json").write_text(json.dumps(artefacts.with_digest(source)))
