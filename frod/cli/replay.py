"""`frod replay`: do one run again from its record, and say whether the result is the same."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from frod.characters import visible
from frod.cli.options import THREADS, finite


def replay(
    run: Annotated[Path, typer.Argument(help="A run's folder or its record.json; or a trial, tune/trial-*.json.")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Largest share by which results may differ. Default: 0.05 on a GPU, with other packages than the "
            "record's or, where its numerics are not portable, on another processor; else not by a bit.",
        ),
    ] = None,
    other_code: Annotated[bool, typer.Option("--other-code", help="Go on although the code is not the run's.")] = False,
    threads: Annotated[
        int | None, typer.Option(**THREADS, help="CPU threads, of all its processes together. Default: as recorded.")
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(file_okay=False, help="Keep the replay's files in this folder, which is made.")
    ] = None,
) -> None:
    """Train again with what the record names; compare weights, predictions, history and metrics with those there.

    Ends with status 1 where the result is not the same. Nothing is written in the results.
    """

    from frod import numerics, terminal
    from frod.runs.finished_run import Finished

    finished = Finished.read(run)
    finished.check_inputs()
    finished.check_rates()
    recorded = finished.facts.get("environment")
    numerics.apply(numerics.setting_of(recorded) if recorded else None)  # before torch and numpy load
    from frod.provenance import records
    from frod.runs import replay as stage
    from frod.training import launch
    from frod.training.job import Job

    stage.check_files(finished)
    alone = {"count": 1, "sharded": False, "threads": recorded["threads"] if recorded else 1}
    several = alone | finished.facts.get("processes", alone)
    threads = threads or several["threads"] * several["count"]
    if launch.start(several["count"], threads):
        return
    from frod.training.processes import Processes
    from frod.training.run import deterministic

    team = Processes.join(sharded=several["sharded"])
    deterministic(max(1, threads // team.world_size))
    here = records.environment()
    standard = stage.Standard.between(recorded or here, here, tolerance)
    job = Job.open(finished.run, finished.backbone, finished.task, finished.basis, finished.rates)
    notes = stage.check_code(finished, job.code, go_on=other_code)
    for note in [*notes, *standard.reasons, *stage.package_notes(recorded or here, here)]:
        print(visible(f"note: {note}"), flush=True)
    with _folder(keep if team.is_main else None) as folder:
        checkpoint, test = folder / "checkpoint.pt", not finished.is_trial
        model, outcome = job.train(checkpoint, float("inf"), threads, test=test, processes=team)
        was, now = finished.facts["undefined"], outcome.undefined
        if not finished.is_trial and (was is None) != (now is None):
            told = [message or "ended" for message in (was, now)]
            raise ValueError(f"not the same: {run} {told[0]}, the replay {told[1]}")
        stage.write(folder, model, outcome, finished)
        if not team.is_main:
            return
        if finished.is_trial:
            own = stage.of_trial(finished, outcome)
            found = [stage.as_recorded(finished), *own, *stage.of_tables(finished, folder)]
        else:
            found = stage.of_run(finished, outcome, folder)
            (folder / "start.safetensors").unlink(missing_ok=True)
    terminal.console().print(stage.table(found, standard))
    same, text = stage.verdict(found, standard)
    print(f"{run}: {text}; trained in {outcome.train_seconds:.1f} s")
    if not same:
        raise typer.Exit(1)


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="frod-replay-") as name:
            yield Path(name)
        return
    if keep.exists():
        raise ValueError(f"--keep {keep}: is there already; name a folder to be made")
    keep.mkdir(parents=True)
    yield keep
