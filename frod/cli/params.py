"""`frod params`: check the parameters and show what they resolve to."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FILE


def params(
    file: Annotated[Path, typer.Argument(**FILE, help="Parameter file.")] = Path("params.yaml"),
    suite: Annotated[str | None, typer.Option(help="A suite; default: the one that the parameters name.")] = None,
    run: Annotated[str | None, typer.Option(help="Print one run, such as digits/digit_vit/frod/seed-0.")] = None,
) -> None:
    """Check parameters, suite and own data; list the runs, or print one as the JSON that `frod train --spec` takes."""
    from frod.config.schema import did_you_mean
    from frod.pipeline.load import check_file, load_workflow
    from frod.training import preflight

    values = check_file(file)
    if "experiments" in values:
        raise ValueError(f"{file}: is a suite, no parameters: `frod params --suite {file.stem}`")
    asked = {} if suite is None else {"suite": suite}
    given = {"--suite": asked, str(file): values}
    root = file.resolve().parent
    workflow, backbones, tasks = load_workflow(values | asked, root, given)
    if run is None:
        with contextlib.chdir(root):
            preflight.check(workflow, backbones, tasks)
        print("\n".join(one.key for one in workflow.runs))
        if workflow.skipped:
            print(f"skipped, not in the mirror: {', '.join(workflow.skipped)}", file=sys.stderr)
        return
    runs = {one.key.removeprefix(f"{workflow.name}/"): one for one in workflow.runs}
    key = run.removeprefix(f"{workflow.name}/")
    if key not in runs:
        raise ValueError(f"--run {run}: suite {workflow.name} has no such run{did_you_mean(key, list(runs))}")
    print(json.dumps(runs[key].resolved()))
