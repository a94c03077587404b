"""`frod basis`: extract the shared basis of a backbone, or take it from the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def basis(
    spec: Annotated[str, typer.Option(help="ridge, dtype and targets as JSON.")],
    backbone: Annotated[Path, typer.Option(help="Folder of the weights: data/models/BACKBONE.")],
    out: Annotated[Path, typer.Option(help="Folder of the basis: data/bases/BACKBONE/BASIS.")],
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 1,
) -> None:
    """Extract the basis; the same weights, targets, ridge and algorithm are decomposed once per user."""
    import json

    import torch

    import frod
    from frod import backbones
    from frod.method.basis import ALGORITHM_VERSION
    from frod.method.targets import find
    from frod.provenance import cache

    settings = json.loads(spec)
    torch.set_num_threads(threads)
    model = backbones.load(backbone, num_classes=2, seed=0)
    names = [layer for category in find(model, settings["targets"]).values() for layer in category]
    weights = frod.model_hash(model, names)
    key = cache.key_of(
        settings | {"kind": "basis", "weights": weights, "layers": names, "algorithm": ALGORITHM_VERSION}
    )
    if cache.fetch(key, out):
        print(f"basis taken from the cache, entry {key}")
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    frod.extract_basis(
        model, settings["targets"], ridge=settings["ridge"], dtype=getattr(torch, settings["dtype"]), device=device
    ).save(out)
    cache.store(key, out)
