"""`frod basis_part`: extract a part of a backbone's basis, as other jobs do others; `frod basis` puts them together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER, THREADS


def basis_part(
    spec: Annotated[str, typer.Option(help="kind, ridge, dtype and targets as JSON.")],
    backbone: Annotated[Path, typer.Option(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the part.")],
    part: Annotated[int, typer.Option(min=0, help="Which part, from 0.")],
    parts: Annotated[int, typer.Option(min=1, max=1000, help="How many there are.")],
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads.")] = 1,
) -> None:
    """Extract one part; the categories are dealt out so that the parts take about the same time."""
    from frod.cli.basis import extract

    if part >= parts:
        raise ValueError(f"--part {part}: should be less than --parts, which is {parts}")
    extract(spec, backbone, out, threads=threads, part=(part, parts))
