"""`frod task`: a benchmark as arrays ready for one backbone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from frod.cli.options import FOLDER


def task(
    spec: Annotated[str, typer.Option(help="The registry's entry as JSON, and the task's name.")],
    backbone: Annotated[Path, typer.Option(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write: data/tasks/TASK/BACKBONE.")],
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the validation split.")] = 0,
    protocol: Annotated[
        Literal["audited", "released"], typer.Option(help="audited, or released: validation is test.")
    ] = "audited",
) -> None:
    """Decode, tokenise and split once, for all methods, seeds and epochs."""
    from frod import backbones
    from frod.backbones import loading
    from frod.config.schema import from_json
    from frod.tasks import images
    from frod.tasks.prepare import prepare
    from frod.tasks.registry import Named

    named = from_json(Named, spec, "--spec")
    facts, edge = backbones.input_facts(backbone), named.task.image_size
    if edge is not None and (why := backbones.refusal(backbones.skeleton(backbone), images.at_size(facts, edge))):
        raise ValueError(f"task {named.name}: image_size: is {edge}; {backbone} does not take it: {why}")
    tokenizer, positions = backbones.tokenizer(backbone), None
    if named.task.kind == "generation" and tokenizer is not None:
        positions = backbones.positions(loading.empty(backbone, "transformers", "text"))
    manifest = prepare(
        named.name,
        named.task,
        backbone=backbones.describe(backbone)["name"],
        input_facts=facts,
        tokenizer=tokenizer,
        positions=positions,
        out=out,
        seed=seed,
        protocol=protocol,
        mirror=Path(os.environ["FROD_MIRROR"]) if "FROD_MIRROR" in os.environ else None,
    )
    for split, facts in manifest["splits"].items():
        print(f"{split}: {facts['rows']} examples")
