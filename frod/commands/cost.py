"""`frod cost`: what a suite will cost in hours, memory and disk, before anything is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

NOT_COUNTED = "Not in the hours: loading, preparing the data, extracting the bases."

if TYPE_CHECKING:
    from frod.cost.skeleton import Skeleton


def cost(
    suite: Annotated[str | None, typer.Option(help="Instead of the parameter file's.")] = None,
    file: Annotated[Path, typer.Option("--params", help="Parameter file.", exists=True)] = Path("params.yaml"),
    device: Annotated[str, typer.Option(help="cpu or cuda: which of the measured results count.")] = "cpu",
    tflops: Annotated[
        float | None,
        typer.Option(help="Your assumption instead of a measured speed: 10^12 operations a second, sustained."),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Your assumption: mean tokens of a text, padding included.")
    ] = None,
    results: Annotated[Path | None, typer.Option(help="Measured results; by default bench/results.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write every job to this file.")] = None,
) -> None:
    """Estimate hours, memory and disk of a suite's jobs, from the models' shapes and from what bench/ measured.

    Loading, preparing the data and extracting the bases are not in the hours. Where the device has no results, give a
    speed with --tflops. A method that was not measured counts like the nearest that was.
    """
    from rich.console import Console

    from frod import files, plain
    from frod.backbones import registry
    from frod.commands.params import load_workflow
    from frod.cost import table
    from frod.cost.estimate import Assumed, estimate
    from frod.cost.measured import Measured
    from frod.terminal import WIDTH

    for name, value, fits in (
        ("device", device, device in ("cpu", "cuda")),
        ("tflops", tflops, tflops is None or tflops > 0),
        ("tokens", tokens, tokens is None or tokens > 0),
    ):
        if not fits:
            raise ValueError(f"--{name} {value}: should be {'cpu or cuda' if name == 'device' else 'more than 0'}")
    root = file.resolve().parent
    given = plain.read(file) | ({} if suite is None else {"suite": suite})
    workflow, backbones, tasks = load_workflow(given, root)
    targets = {name: workflow.targets_of(name) for name in workflow.backbones()}
    models = root / workflow.params.paths.data / "models"
    skeleton = skeletons(backbones, targets, models)
    benched = skeletons(registry.load(), {}, models)  # with the architectures' own targets
    measured = Measured(results or root / "bench" / "results", device, benched, tflops)
    assumed = Assumed(tokens=tokens)
    found = estimate(workflow, backbones, tasks, skeleton, measured, assumed)
    console = Console(width=WIDTH, soft_wrap=False, highlight=False)
    console.print(table.table(found, f"Suite {workflow.name} on {device}: an estimate"))
    tuners = {run.method: run.tuner for run in workflow.runs}
    for line in [table.disk_line(found), *measured.notes(tuners), assumed.note(), NOT_COUNTED]:
        console.print(line, markup=False)
    if json is not None:
        files.write_json(json, {"suite": workflow.name, "device": device, "jobs": [asdict(job) for job in found.jobs]})


def skeletons(backbones: dict[str, Any], targets: dict[str, Any], models: Path) -> Callable[..., Skeleton]:
    """Return a function from a backbone's name, and its number of blocks, to its skeleton; each is built once.

    Parameters
    ----------
    backbones : dict
        Registry entries by name.
    targets : dict
        Target layers by backbone, where they are not the architecture's.
    models : Path
        Folder of the weights, read where an entry has no architecture.
    """
    from functools import cache

    from frod.backbones import architecture, input_facts
    from frod.backbones import skeleton as from_folder
    from frod.cost.skeleton import Skeleton

    @cache
    def build(name: str, layers: int | None = None) -> Skeleton:
        spec = backbones[name]
        if spec.built_as is None:
            if not (models / name).is_dir():
                raise ValueError(
                    f"backbones: {name}.architecture: is missing, and there is no {models / name} to read it from; "
                    "name the library's model and the arguments of its configuration, or run `frod backbone`"
                )
            image = None if spec.max_length else input_facts(models / name)
            return Skeleton(from_folder(models / name), image=image, targets=targets.get(name))
        model = architecture.build(spec, **({} if layers is None else {"num_hidden_layers": layers}))
        image = None if spec.max_length else architecture.image_inputs(model)
        itemsize = 2 if spec.built_as.arguments.get("dtype") in ("float16", "bfloat16") else 4
        return Skeleton(model, image=image, itemsize=itemsize, targets=targets.get(name))

    return build
