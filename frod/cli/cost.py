"""`frod cost`: what a suite will cost in hours, memory and disk, before anything is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frod.cli.options import FILE, finite

if TYPE_CHECKING:
    from frod.training.estimate import Jobs

GIB = 2**30
ASSUMED = (
    "Every method's multiply-adds count alike; those of peft's adapters are left out, which took 1.2 to 1.7 times the "
    "hours where it was measured. A word that is written counts as one that is read, and takes longer. Assumed tokens "
    "of a text, padding included: {texts}. Not in the hours: loading, data, bases, spectra and sharpness."
)


def cost(
    suite: Annotated[str | None, typer.Option(help="Instead of the parameter file's.")] = None,
    file: Annotated[Path, typer.Option("--params", **FILE, help="Parameter file.")] = Path("params.yaml"),
    device: Annotated[str, typer.Option(help="cpu or cuda: what trains.")] = "cpu",
    tflops: Annotated[
        float | None,
        typer.Option(
            callback=finite,
            help="Your assumption instead of a measured speed: 10^12 operations a second, of a GPU or one CPU thread.",
        ),
    ] = None,
    json: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Write the figures of each task and method to this file.")
    ] = None,
) -> None:
    """Estimate hours, memory and disk of a suite, from the models' shapes and a speed: bench/'s, or --tflops."""
    from dataclasses import asdict

    from frod import files, terminal
    from frod.backbones import registry
    from frod.pipeline.load import check_file, load_workflow
    from frod.training import estimate

    if device not in ("cpu", "cuda"):
        raise ValueError(f"--device {device}: should be cpu or cuda")
    if tflops is not None and tflops <= 0:
        raise ValueError(f"--tflops {tflops}: should be more than 0")
    root = file.resolve().parent
    values, asked = check_file(file), {} if suite is None else {"suite": suite}
    workflow, backbones, tasks = load_workflow(values | asked, root, {"--suite": asked, str(file): values})
    folder = root / workflow.params.paths.data / "models"
    # Of a model that has both, tasks of classes count the language model's head, too: a little much.
    written_on = {backbone for task, backbone in workflow.pairs() if tasks[task].is_causal}
    models = {
        name: estimate.Skeleton(name, backbones[name], folder, workflow.targets_of(name), causal=name in written_on)
        for name in workflow.backbones()
    }
    if tflops is None:
        speed, where = estimate.measured_speed(root / "bench" / "results", device, registry.load())
        said = f"Speed measured: {where}"
    else:
        speed, said = tflops * 1e12 / 2, f"Speed assumed, not measured: {tflops:g} Tflop/s sustained"
    found = list(estimate.estimate(workflow, models, tasks, speed=speed, device=device))
    columns = ("backbone", "method", "runs", "trials", "trained", "hours", "longest", "GiB memory", "GiB disk")
    rows = [
        [*row, *_cells([jobs for jobs in found if (jobs.backbone, jobs.method) == row])]
        for row in dict.fromkeys((jobs.backbone, jobs.method) for jobs in found)
    ]
    in_all = _cells(found)
    rows += [[], ["in all", "", *in_all[:2], "", *in_all[3:]]]
    console = terminal.console()
    title = f"Suite {workflow.name} on {device}: an estimate"
    console.print(terminal.table(columns, rows, left=("backbone", "method"), title=title))
    disk = estimate.stored(workflow, models, tasks)
    for name, full in (("runs of full_ft, which keep all weights", True), ("other runs", False)):
        disk[name] = sum(jobs.count * jobs.disk_bytes for jobs in found if (jobs.method == "full_ft") == full)
    parts = ", ".join(f"{name} {_figure(size / GIB)}" for name, size in disk.items())
    console.print(f"Disk, GiB: {_figure(sum(disk.values()) / GIB)} in all; {parts}.", markup=False)
    texts = ", ".join(f"{count} of {kind}" for kind, count in estimate.TOKENS.items())
    console.print(f"{said}. {ASSUMED.format(texts=texts)}", markup=False)
    if json is not None:
        files.write_json(json, {"suite": workflow.name, "device": device, "jobs": [asdict(jobs) for jobs in found]})


def _cells(found: list[Jobs]) -> list[str]:
    runs, trials = (sum(jobs.count for jobs in found if jobs.trial == trial) for trial in (False, True))
    return [
        f"{runs:,}",
        f"{trials:,}",
        f"{max(jobs.trained for jobs in found):,}",
        _figure(sum(jobs.count * jobs.hours for jobs in found)),
        _figure(max(jobs.hours for jobs in found)),
        _figure(max(jobs.memory_bytes for jobs in found) / GIB),
        _figure(sum(jobs.count * jobs.disk_bytes for jobs in found) / GIB),
    ]


def _figure(value: float) -> str:
    """Three digits that count; of large numbers all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
