"""`frod track`: log finished runs to MLflow from their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def track(
    results: Annotated[Path, typer.Argument(help="Folder of runs, such as results/smoke.")],
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment; default: the folder's name.")] = None,
) -> None:
    """Log every finished run below a folder: after a time without a tracking server, or to another one."""
    from frod import tracking

    runs = sorted(path.parent for path in results.rglob("metrics.json") if (path.parent / "record.json").exists())
    if not runs:
        raise ValueError(f"results: there is no finished run below {results}")
    experiment = experiment or results.resolve().name
    if not tracking.log_or_say(runs, experiment):
        sys.exit(1)
    print(f"{len(runs)} runs logged to experiment {experiment}")
