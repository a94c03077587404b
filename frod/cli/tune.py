"""`frod tune`: choose learning rates among trials, by validation alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FILE

TRIAL = ("rates", "seed", "metric", "validation", "validation_loss", "undefined", "budget", "train_seconds", "outputs")


def tune(
    trial: Annotated[list[Path], typer.Option(**FILE, help="File of a trial; one option each, in the suite's order.")],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="File to write: results/SUITE/TASK/BACKBONE/METHOD/tune/rates.json.")
    ],
    box: Annotated[str | None, typer.Option(help="The box that the trials' rates were drawn in, as JSON.")] = None,
) -> None:
    """Write the best rates, and all that were tried next to them."""
    from frod import files
    from frod.config import Box, Rates, schema
    from frod.provenance import artefacts
    from frod.provenance.records import verify_outputs
    from frod.training.tune import choose

    trials = [artefacts.read_json(path, keys=TRIAL) for path in trial]
    for path, one in zip(trial, trials):
        schema.validate(Rates, one["rates"], str(path), "rates")
        verify_outputs(path, one)
    chosen = choose(trials, schema.from_json(Box, box, "--box").ranges if box is not None else None)
    files.write_json(out, chosen | {"inputs": {str(path): files.sha256(path) for path in trial}})
    for path in trial:
        files.remove(path.parent.glob(f"{path.stem}.checkpoint.*"))  # its job has ended, to Snakemake's knowledge too
    figure = "none has a figure" if chosen["validation"] is None else f"{chosen['validation']:.4f}"
    print(f"trial {chosen['index']} of {len(chosen['trials'])}: {chosen['rates']}, validation {figure}")
