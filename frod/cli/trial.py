"""`frod trial`: one training by which learning rates are chosen; it never opens test."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER, THREADS, CheckpointSeconds


def trial(
    spec: Annotated[str, typer.Option(help="The resolved run as JSON, with the rates to try.")],
    backbone: Annotated[Path, typer.Option(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    task: Annotated[Path, typer.Option(**FOLDER, help="Folder of the prepared task: data/tasks/TASK/BACKBONE.")],
    out: Annotated[
        Path,
        typer.Option(
            dir_okay=False, help="File to write: trial-N-seed-M.json in results/SUITE/TASK/BACKBONE/METHOD/tune."
        ),
    ],
    basis: Annotated[Path | None, typer.Option(**FOLDER, help="Folder of the basis; FRoD needs it.")] = None,
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads.")] = 1,
    processes: Annotated[int, typer.Option(**THREADS, help="Processes, as for `frod train`.")] = 1,
    nodes: Annotated[int, typer.Option(**THREADS, help="Machines, as for `frod train`.")] = 1,
    sharded: Annotated[bool, typer.Option("--sharded/--no-sharded", help="As for `frod train`.")] = False,
    checkpoint_seconds: CheckpointSeconds = 120.0,
) -> None:
    """Train with one setting of rates; write its metric on validation, and next to it history and predictions.

    A training that diverges is a result, too."""
    started = datetime.now(UTC)
    from frod import files
    from frod.config import Run
    from frod.evaluation import metrics
    from frod.evaluation.loss import loss
    from frod.provenance import records
    from frod.training import launch
    from frod.training.job import Job

    run = Run.of(spec)
    if run.rates is None:
        raise ValueError("--spec: rates is null; a trial tries one choice of rates, so put it there")
    checkpoint = out.with_suffix(".checkpoint.pt")
    job = Job.open(run, backbone, task, basis)
    if launch.start(processes, threads, nodes):
        return
    from frod.training.processes import Processes

    team = Processes.join(sharded=sharded)
    _, outcome = job.train(checkpoint, checkpoint_seconds, threads, test=False, processes=team)
    if not team.is_main:
        return
    column = next(name for name in map(str, outcome.history) if name.startswith("validation_"))
    validation = None if outcome.undefined else metrics.defined(outcome.history[column].iloc[-1])
    outputs = [records.output_path(out, name) for name in records.TABLES]
    outcome.write_tables(*outputs)
    result = {
        "rates": run.rates.model_dump(exclude_none=True),
        "seed": run.seed,
        "metric": column.removeprefix("validation_"),
        "validation": validation,
        "validation_loss": None if outcome.undefined else loss(outcome.predictions),
        "undefined": outcome.undefined or metrics.why_undefined(validation, column),
        "budget": outcome.budget,
        "evaluations": outcome.evaluations,
        "train_seconds": outcome.train_seconds,
        "resumed_from_step": outcome.resumed_from,
        "processes": team.facts(),
        "environment": records.environment(),
        "spec": run.resolved(),
        "inputs": job.inputs,
        "code": job.code,
        "outputs": {str(path): files.sha256(path) for path in outputs},
        "started": started.isoformat(),
        "finished": datetime.now(UTC).isoformat(),
    }
    files.write_json(out, result)  # the checkpoint stays until `frod tune`, as that of a training does
