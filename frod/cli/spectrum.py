"""`frod spectrum`: singular values of what fine-tuning changed in each target layer."""

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
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads.")] = 1,
) -> None:
    """Restore each run's model from its files, and decompose W' - W of its target layers in float64."""
    import pyarrow
    from pyarrow import parquet

    from frod import files, numerics
    from frod.runs import spectrum as stage
    from frod.runs.finished_run import Finished

    numerics.hold(threads)
    rows = list(stage.of_runs([Finished.read(folder) for folder in run]))
    with files.path_for(out) as partial:
        table = pyarrow.Table.from_pylist(rows, schema=stage.schema())
        parquet.write_table(table, partial, write_page_checksum=True)  # as of artefacts.write_table
