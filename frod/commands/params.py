"""`frod params`: check the parameters and show what they resolve to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from frod.config import Workflow


def load_workflow(params: dict[str, Any], root: Path) -> tuple[Workflow, dict[str, Any], dict[str, Any]]:
    """Validate parameters and suite, and hold them against the registries.

    Returns
    -------
    workflow : frod.config.Workflow
    backbones, tasks : dict
        Registry entries by name.

    Raises
    ------
    ValueError
        Names the field, its value and what would be right.
    """
    from frod.backbones import registry as backbones
    from frod.config import load
    from frod.tasks import registry as tasks

    workflow = load(params, root)
    known_backbones, known_tasks = backbones.load(), tasks.load()
    for task, backbone in workflow.pairs():
        for name, known, field in ((task, known_tasks, "tasks"), (backbone, known_backbones, "backbone")):
            if name not in known:
                raise ValueError(f"suite {workflow.name}: {field}: {name!r} is not registered; known: {list(known)}")
    return workflow, known_backbones, known_tasks


def params(
    file: Annotated[Path, typer.Argument(help="Parameter file.")] = Path("params.yaml"),
    run: Annotated[str | None, typer.Option(help="Print one run, such as digits/digit_vit/frod/seed-0.")] = None,
) -> None:
    """Check the parameters and the suite; list the runs, or print one as the JSON that `frod train --spec` takes."""
    import yaml

    workflow, _, _ = load_workflow(yaml.safe_load(file.read_text()), file.resolve().parent)
    if run is None:
        print("\n".join(one.key for one in workflow.runs))
        return
    task, backbone, method, seed = run.removeprefix(f"{workflow.name}/").split("/")
    print(json.dumps(workflow.find(task, backbone, method, seed.removeprefix("seed-")).resolved()))
