"""`frod train`: fine-tune one model on one task with one method and seed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

OUTPUTS = ("adapter.safetensors", "history.parquet", "predictions.parquet")


def train(
    spec: Annotated[str, typer.Option(help="The resolved run as JSON; `frod params --run KEY` prints it.")],
    backbone: Annotated[Path, typer.Option(help="Folder of the weights: data/models/BACKBONE.")],
    task: Annotated[Path, typer.Option(help="Folder of the prepared task: data/tasks/TASK/BACKBONE.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: results/SUITE/TASK/BACKBONE/METHOD/seed-N.")],
    basis: Annotated[Path | None, typer.Option(help="Folder of the shared basis; FRoD needs it.")] = None,
    threads: Annotated[int, typer.Option(help="CPU threads; part of what makes a result repeatable.")] = 1,
    checkpoint_seconds: Annotated[
        float, typer.Option(help="Time between checkpoints.", envvar="FROD_CHECKPOINT_SECONDS")
    ] = 120.0,
) -> None:
    """Train; write adapter, history, predictions and record. Goes on from a checkpoint of the same run."""
    started, clock = datetime.now(UTC), time.perf_counter()
    import json

    import frod
    from frod import backbones, files
    from frod.config import Run
    from frod.provenance import code, hashes
    from frod.tasks import arrays
    from frod.training import run as stage
    from frod.training.seeds import stream
    from frod.tuners import trained

    resolved = json.loads(spec)
    run = Run.model_validate(resolved)
    stage.deterministic(threads)
    inputs = {str(p): files.sha256(p) for p in _inputs(backbone, task, basis)}
    code_hash = code.code_hash("frod.commands.train")
    manifest = arrays.load_manifest(task, verify=False)  # opening a split verifies its files
    out.mkdir(parents=True, exist_ok=True)

    model = backbones.load(backbone, num_classes=manifest["num_classes"], seed=stream(run.seed, "head"))
    outcome = stage.train(
        run,
        model,
        {split: arrays.load_split(task, split) for split in ("train", "validation", "test")},
        head=backbones.head_modules(model),
        basis=frod.Basis.load(basis) if basis else None,
        metric_names=manifest["metrics"],
        regression=manifest["problem"] == "regression",
        checkpoint=out / "checkpoint.pt",
        checkpoint_seconds=checkpoint_seconds,
        fingerprint=hashes.json_sha256({"spec": resolved, "inputs": inputs, "code": code_hash, "threads": threads}),
    )
    trained.save(model, out / "adapter.safetensors", run.tuner.kind)
    for table, name in ((outcome.history, "history.parquet"), (outcome.predictions, "predictions.parquet")):
        with files.path_for(out / name) as partial:
            table.to_parquet(partial, index=False)
    _record(run, resolved, outcome, out, inputs, code_hash, started, time.perf_counter() - clock)
    (out / "checkpoint.pt").unlink(missing_ok=True)


def _inputs(backbone: Path, task: Path, basis: Path | None) -> list[Path]:
    """Files that name the hash of everything else in their folder."""
    files = [backbone / "source.json", task / "manifest.json"]
    return [*files, basis / "manifest.json"] if basis else files


def _record(
    run: Any, resolved: dict, outcome: Any, out: Path, inputs: dict, code_hash: str, started: datetime, wall: float
) -> None:
    """Write record.json: what went in, what ran it, what came out."""
    import resource

    import torch

    from frod import files
    from frod.provenance import code, records

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    record = {
        "run": {name: getattr(run, name) for name in ("suite", "task", "backbone", "method", "seed")},
        "spec": resolved,
        "inputs": inputs,
        "code": {"hash": code_hash, **code.git_state()},
        "environment": records.environment(),
        "budget": outcome.budget,
        "parameters": outcome.parameters,
        "resources": {
            "wall_seconds": wall,
            "train_seconds": outcome.train_seconds,
            "step_seconds_median": float(outcome.history["step_seconds"].median()),
            "peak_rss_bytes": peak,
            "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        },
        "seeds": outcome.seeds,
        "resumed_from_step": outcome.resumed_from,
        "outputs": {str(out / name): files.sha256(out / name) for name in OUTPUTS},
        "started": started.isoformat(),
        "finished": datetime.now(UTC).isoformat(),
    }
    records.write_record(out / "record.json", record)
