"""`frod basis`: extract a basis of a backbone, or take it from the user's cache, or put its parts together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from frod.cli.options import FOLDER, THREADS


def basis(
    spec: Annotated[str, typer.Option(help="kind, ridge, dtype and targets as JSON.")],
    backbone: Annotated[Path, typer.Option(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the basis: data/bases/BACKBONE/BASIS.")],
    threads: Annotated[int, typer.Option(**THREADS, help="Kinds of layers that are decomposed side by side.")] = 1,
    join: Annotated[
        list[Path] | None, typer.Option(**FOLDER, help="Folder of `frod basis_part`; once for each.")
    ] = None,
) -> None:
    """Extract the basis; the same weights, targets, kind, ridge and algorithm are decomposed once per user."""
    if not join:
        extract(spec, backbone, out, threads=threads)
        return
    import frod
    from frod import files

    basis = frod.Basis.join([frod.Basis.load(folder) for folder in join])
    with files.whole_directory(out) as folder:
        basis.save(folder)


def extract(spec: str, backbone: Path, out: Path, *, threads: int, part: tuple[int, int] | None = None) -> None:
    """Extract a basis, or the i-th of k parts of one, unless the cache has it."""
    import torch

    import frod
    from frod import backbones, files, numerics
    from frod.config import Extraction
    from frod.config.schema import from_json
    from frod.method.basis import ALGORITHM_VERSION
    from frod.method.decomposition import DEGENERATE
    from frod.method.targets import find
    from frod.provenance import cache

    settings = from_json(Extraction, spec, "--spec").model_dump()
    numerics.hold(1)
    # The weights are read from the files one at a time: a large model need not fit into memory.
    model = backbones.skeleton(backbone)
    names = [layer for category in find(model, settings["targets"]).values() for layer in category]
    weights = frod.model_hash(model, names, checkpoint=backbone)
    made_of: dict[str, Any] = {"kind": "basis", "settings": settings, "weights": weights, "layers": names, "part": part}
    made_of |= {"algorithm": [ALGORITHM_VERSION, DEGENERATE], "numerics": numerics.facts()}
    key = cache.key_of(made_of)
    if cache.fetch(key, out):
        print(f"basis taken from the cache, entry {key}")
        return
    basis = frod.extract_basis(
        model,
        settings["targets"],
        kind=settings["kind"],
        ridge=settings["ridge"],
        dtype=getattr(torch, settings["dtype"]),
        device="cuda" if torch.cuda.is_available() else "cpu",
        checkpoint=backbone,
        part=part,
        threads=threads,
    )
    with files.whole_directory(out) as folder:
        basis.save(folder)
    cache.store(key, out)
