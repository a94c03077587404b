"""`frod train`: fine-tune one model on one task with one method and seed."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FILE, FOLDER, THREADS, CheckpointSeconds


def train(
    spec: Annotated[str, typer.Option(help="The resolved run as JSON; `frod params --run KEY` prints it.")],
    backbone: Annotated[Path, typer.Option(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    task: Annotated[Path, typer.Option(**FOLDER, help="Folder of the prepared task: data/tasks/TASK/BACKBONE.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of the run: results/SUITE/TASK/BACKBONE/METHOD/seed-N.")
    ],
    basis: Annotated[Path | None, typer.Option(**FOLDER, help="Folder of the basis; FRoD needs it.")] = None,
    rates: Annotated[
        Path | None, typer.Option(**FILE, help="The rates that `frod tune` chose, where the run names none.")
    ] = None,
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads; part of what makes a result repeatable.")] = 1,
    processes: Annotated[
        int,
        typer.Option(
            **THREADS, help="Processes that share each batch and the threads, one GPU each where there are GPUs."
        ),
    ] = 1,
    nodes: Annotated[
        int, typer.Option(**THREADS, help="Machines that share the processes; on each of them this command is called.")
    ] = 1,
    sharded: Annotated[
        bool, typer.Option("--sharded/--no-sharded", help="Keep a piece of the model in each process (FSDP2).")
    ] = False,
    checkpoint_seconds: CheckpointSeconds = 120.0,
) -> None:
    """Train; write adapter, history, predictions and record. Goes on from a checkpoint of the same run."""
    started, clock = datetime.now(UTC), time.perf_counter()
    from frod.config import Rates, Run, schema
    from frod.provenance import artefacts
    from frod.training import launch
    from frod.training.job import Job
    from frod.training.methods import trained

    run = Run.of(spec)
    chosen = None
    if run.rates is None:
        if rates is None:
            raise ValueError(
                "--rates is missing: the run has no rates of its own, so `frod tune` must have chosen them"
            )
        chosen = artefacts.read_json(rates, keys=("rates", "trials", "seeds", "index"))
        run = run.model_copy(update={"rates": schema.validate(Rates, chosen["rates"], str(rates), "rates")})
    job = Job.open(run, backbone, task, basis, rates=rates)
    if launch.start(processes, threads, nodes):
        return
    from frod.training.processes import Processes

    team = Processes.join(sharded=sharded)
    model, outcome = job.train(out / "checkpoint.pt", checkpoint_seconds, threads, test=True, processes=team)
    trained.save(model, out / "adapter.safetensors", run.adapter.kind)
    if not team.is_main:
        return
    outcome.write_tables(out / "history.parquet", out / "predictions.parquet")
    # The checkpoint stays until `frod evaluate`: a workflow that is killed before it has noted this end begins again.
    job.write_record(outcome, team, out, chosen, started, time.perf_counter() - clock)
