"""`frod basis_part`: extract a part of a backbone's basis, as other jobs do others; `frod basis` puts them together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def basis_part(
    spec: Annotated[str, typer.Option(help="ridge, dtype and targets as JSON.")],
    backbone: Annotated[Path, typer.Option(help="Folder of the weights: data/models/BACKBONE.")],
    out: Annotated[Path, typer.Option(help="Folder of the part.")],
    part: Annotated[int, typer.Option(help="Which part, from 0.")],
    parts: Annotated[int, typer.Option(help="How many there are.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Extract one part; the categories are dealt out so that the parts take about the same time."""
    from frod.cli.basis import extract

    extract(spec, backbone, out, threads=threads, part=(part, parts))
