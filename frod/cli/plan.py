"""`frod plan`: how FRoD's layers would be computed in training, what it costs, and the floor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER, finite

ITEMSIZE = {"float32": 4, "bfloat16": 2, "float16": 2}


def plan(
    backbone: Annotated[Path, typer.Argument(**FOLDER, help="Folder of the weights: data/models/BACKBONE.")],
    batch: Annotated[int, typer.Option(help="Examples of a micro-batch.")] = 32,
    length: Annotated[int | None, typer.Option(help="Tokens of an example; by default those of the model.")] = None,
    accumulation: Annotated[int, typer.Option(help="Micro-batches of an optimiser step.")] = 1,
    sparse_rate: Annotated[
        float, typer.Option(min=0, max=1, callback=finite, help="Share of the entries of S that train.")
    ] = 0.01,
    device: Annotated[str, typer.Option(help="Kind of device: cpu or cuda.")] = "cpu",
    dtype: Annotated[str, typer.Option(help="Of the dense products: float32, bfloat16 or float16.")] = "float32",
    plan: Annotated[
        str, typer.Option(help="auto, or one for all layers: materialised, factored, input_side.")
    ] = "auto",
    basis: Annotated[str, typer.Option(help="Kind of basis: shared, layer_svd or random.")] = "shared",
    target: Annotated[list[str] | None, typer.Option(help="Suffix of the layers' names; may be repeated.")] = None,
) -> None:
    """Print a table per category: the plan, its multiply-adds against full fine-tuning, what it keeps in memory."""

    from frod import backbones, terminal
    from frod.method import alternatives
    from frod.method.plan import check, plan_model
    from frod.reporting.terminal_summary import plan_table

    for name, value, known in (("device", device, ("cpu", "cuda")), ("dtype", dtype, tuple(ITEMSIZE))):
        if value not in known:
            raise ValueError(f"--{name} {value} is none of {', '.join(known)}")
    for name, count in (("batch", batch), ("length", length), ("accumulation", accumulation)):
        if count is not None and count < 1:
            raise ValueError(f"--{name} {count} must be at least 1")
    model = backbones.skeleton(backbone)
    each = backbones.tokens(model, backbones.input_facts(backbone)) if length is None else length
    rows = plan_model(
        model,
        target,
        tokens=batch * each * accumulation,
        sparse_rate=sparse_rate,
        plan=check(plan),
        device=device,
        itemsize=ITEMSIZE[dtype],
        basis=alternatives.check(basis)[0],
    )
    step = f"{accumulation} x {batch}" if accumulation > 1 else f"{batch}"
    title = f"One step of {step} examples of {each} tokens, sparse rate {sparse_rate:g}, {dtype} on {device}"
    terminal.console().print(plan_table(rows, title))
