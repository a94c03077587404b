"""`frod track`: log finished runs to MLflow from their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER


def track(
    results: Annotated[Path, typer.Argument(**FOLDER, help="Folder of runs, such as results/smoke.")],
    experiment: Annotated[str | None, typer.Option(help="MLflow experiment; default: each run's suite.")] = None,
    reports: Annotated[
        Path, typer.Option(file_okay=False, help="Folder of the reports; a suite's is logged where it is there.")
    ] = Path("reports"),
) -> None:
    """Log what MLflow lacks of the finished runs below a folder: after a time without a server, or to another one."""
    from collections import Counter

    from frod.provenance import artefacts, tracking

    if tracking.off():
        raise ValueError("FROD_TRACKING is off, so that nothing would be logged; unset it")
    runs = sorted(path.parent for path in results.rglob("metrics.json") if (path.parent / "record.json").exists())
    if not runs:
        raise ValueError(f"results: there is no finished run below {results}")
    groups: dict[str, list[Path]] = {}
    suites = set()
    for run in runs:
        suite = artefacts.read_json(run / "record.json", keys=["run"])["run"]["suite"]
        suites.add(suite)
        groups.setdefault(experiment or suite, []).append(run)
    counts: Counter[str] = Counter()
    logged = [tracking.log_or_say(group, name, counts) for name, group in groups.items()]
    logged += [
        tracking.log_report_or_say(reports / suite, experiment or suite, results, counts)
        for suite in suites
        if (reports / suite / "report.json").exists()
    ]
    if not all(logged):
        sys.exit(1)
    print(
        f"experiment {', '.join(groups)}, {len(runs)} finished runs: {counts['logged']} of MLflow's runs logged, "
        f"{counts['there']} there already"
    )
