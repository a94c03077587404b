"""`frod spectrum`: singular values of what fine-tuning changed in each target layer, and the loss around it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import THREADS


def spectrum(
    run: Annotated[
        list[Path], typer.Option(exists=True, help="Folder of a run, one option each: the seeds of one method.")
    ],
    out: Annotated[
        Path, typer.Option(dir_okay=False, help="Table to write: results/SUITE/TASK/BACKBONE/METHOD/spectrum.parquet.")
    ],
    sharpness: Annotated[
        Path, typer.Option(dir_okay=False, help="Table of the loss under perturbations: .../sharpness.parquet.")
    ],
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads.")] = 1,
) -> None:
    """Restore each run's model from its files, decompose W' - W of its target layers, and perturb W' at random."""
    import pyarrow
    from pyarrow import parquet

    from frod import files, numerics
    from frod.runs import sharpness as perturbed
    from frod.runs import spectrum as stage
    from frod.runs.finished_run import Finished

    numerics.hold(threads)
    layers, losses = stage.of_runs([Finished.read(folder) for folder in run])
    for path, rows, schema in ((out, layers, stage.schema()), (sharpness, losses, perturbed.schema())):
        with files.path_for(path) as partial:
            table = pyarrow.Table.from_pylist(rows, schema=schema)
            parquet.write_table(table, partial, write_page_checksum=True)  # as of artefacts.write_table
