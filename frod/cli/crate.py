"""`frod crate`: a finished suite as a Workflow Run RO-Crate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from frod.cli.options import FOLDER


def crate(
    report: Annotated[Path, typer.Argument(**FOLDER, help="Folder of the report: reports/SUITE.")],
    out: Annotated[Path, typer.Option(help="Folder of the crate, or a file that ends in .zip.")],
    with_data: Annotated[
        bool, typer.Option("--with-data", help="Hold weights, arrays, bases and adapters too, not only their hashes.")
    ] = False,
    author: Annotated[str | None, typer.Option(help="Name of who ran the workflow.")] = None,
    orcid: Annotated[str | None, typer.Option(help="The author's address at orcid.org.")] = None,
) -> None:
    """Export the report, its runs, the workflow and where all of it came from, with the hash of every file.

    Run it in the project's folder. Nothing in the crate depends on when it is made.
    """
    from frod.crate.build import build
    from frod.evaluation import formatting as show
    from frod.pipeline.load import load_workflow
    from frod.provenance.artefacts import read_json

    if orcid and not (author and orcid.startswith("https://orcid.org/")):
        raise ValueError(f"--orcid {orcid}: should be an address such as https://orcid.org/0000-..., with --author")
    manifest = report / "report.json"
    content = read_json(
        manifest, keys=("params", "skipped"), remedy="give the folder of a finished report, such as reports/smoke"
    )
    workflow, backbones, tasks = load_workflow(content["params"], Path(), {str(manifest): content["params"]})
    beyond = sorted(set(workflow.skipped) - set(content["skipped"]))
    if beyond:
        raise ValueError(f"{report}: has {', '.join(beyond)}, which the mirror lacks now; run without FROD_MIRROR")
    who = {"name": author} | ({"orcid": orcid} if orcid else {}) if author else None
    specs = {"backbone": backbones, "task": tasks}
    left = workflow.without(content["skipped"])
    made = build(report, content, left, specs, out, with_data=with_data, author=who)
    print(
        f"{out}: {made['jobs']} jobs, {made['files']} files of {show.size(made['bytes'])}; "
        f"{made['named']} more of {show.size(made['named_bytes'])} by hash alone"
    )
