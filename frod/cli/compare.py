"""`frod compare`: two suites, or two revisions of one, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    a: Annotated[
        str, typer.Argument(help="Folder of a report, reports/SUITE; of a git revision: REV:reports/published/SUITE.")
    ],
    b: Annotated[str, typer.Argument(help="The other; differences are B - A.")],
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown, as for a pull request.")] = False,
    json: Annotated[Path | None, typer.Option(dir_okay=False, help="Write everything to this file, too.")] = None,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit status 1 where results differ.")] = False,
) -> None:
    """Show what differs: results with intervals, claims, settings, code, packages.

    Runs of the same seed and the same order of examples are compared in pairs, others by Welch's t. Revisions are read
    from git: nothing is checked out.
    """

    from frod import files, terminal
    from frod.reporting.compare import differences, revisions, showing

    found = differences.compare(revisions.read(a), revisions.read(b))
    if json is not None:
        files.write_json(json, found.as_dict())
    if markdown:
        print(showing.markdown(found))
    else:
        console = terminal.console()
        for part in showing.tables(found):
            console.print(part)
    if exit_code and found.differ:
        raise typer.Exit(1)
