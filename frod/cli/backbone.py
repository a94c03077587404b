"""`frod backbone`: put a model in place, from the Hub, a mirror or a package, or by pre-training a small one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import THREADS


def backbone(
    spec: Annotated[str, typer.Option(help="The registry's entries as JSON: name, backbone, and the task it learns.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write: data/models/BACKBONE.")],
    threads: Annotated[int, typer.Option(**THREADS, help="CPU threads of a pre-training.")] = 1,
    train: Annotated[
        bool, typer.Option("--train", help="Pre-train by the recipe, even where package or cache have the result.")
    ] = False,
) -> None:
    """Write the weights and source.json.

    What is pre-trained here comes with the package where it ships the recipe's result, else from the user's cache the
    second time.
    """
    from frod import numerics
    from frod.backbones import materialise, shipped
    from frod.backbones.registry import Named, Pretrained
    from frod.config import safe_yaml
    from frod.config.schema import validate
    from frod.provenance import cache, code

    entries = safe_yaml.from_json(spec, "--spec")
    named = validate(Named, entries, "--spec")
    name, model, source = named.name, named.backbone, named.backbone.source
    mirror = Path(os.environ["FROD_MIRROR"]) if "FROD_MIRROR" in os.environ else None
    if not isinstance(source, Pretrained):
        materialise(name, model, out, mirror=mirror)
        return
    if not train and (weights := shipped.find(entries)) is not None:
        materialise(name, model, out, pretrained=weights)
        print(f"{name}: the weights that the package ships")
        return
    numerics.hold(threads)
    what = {"kind": "backbone", "threads": threads, "code": code.code_hash("frod.cli.backbone")}
    what["numerics"] = numerics.facts()
    key = cache.key_of(what | entries)
    if not train and cache.fetch(key, out):
        print(f"{name} taken from the cache, entry {key}")
        return
    from frod.tasks import pretraining
    from frod.tasks.registry import TaskSpec

    assert named.seed is not None  # of a model that is pre-trained, Named holds that it has one
    task = validate(TaskSpec, named.task, "--spec", "task")
    data = pretraining.data(task, seed=named.seed, lines=source.lines, mirror=mirror)
    seed = named.seed if source.seed is None else source.seed
    materialise(name, model, out, seed=seed, pretraining_data=data, progress=_progress)
    cache.store(key, out)


def _progress(step: int, steps: int, loss: float) -> None:
    if step % 50 == 0 or step == steps:
        print(f"pre-training step {step}/{steps}  loss {loss:.4f}", file=sys.stderr, flush=True)
