"""`frod audit`: whether a report follows from the files it was made from, down to the raw data."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frod.characters import visible

if TYPE_CHECKING:
    from frod.audit.findings import Findings


def audit(
    report: Annotated[Path, typer.Argument(file_okay=False, help="Folder of the report: reports/SUITE.")],
    json: Annotated[
        Path | None, typer.Option(dir_okay=False, help="File to write the findings to, such as audit.json.")
    ] = None,
) -> None:
    """Walk from the page back to the raw data; one line a finding. Exit status 1 on any, 2 where it cannot begin."""
    import contextlib

    from frod import files
    from frod.audit import walk
    from frod.audit.progress import shown
    from frod.provenance import secrets

    started = time.perf_counter()
    out = json and json.resolve()
    try:
        root, place = find_root(report)
        with contextlib.chdir(root), shown() as progress:
            study, findings = walk.audit(place, workers=walk.WORKERS, progress=progress)
            facts = walk.facts(study, findings, started)
    except ValueError as error:
        print(visible(secrets.removed_from(f"error: {error}")), file=sys.stderr)
        sys.exit(2)
    if out:
        files.write_json(out, facts)
    say(findings, facts["seconds"])
    sys.exit(1 if findings.found else 0)


def find_root(report: Path) -> tuple[Path, Path]:
    """The folder that a report's paths are relative to, the nearest above with params.yaml; and the report from there.

    Raises
    ------
    ValueError
        There is no such folder.
    """
    where = report.resolve()
    for folder in (Path.cwd(), *where.parents):
        if (folder / "params.yaml").is_file() and where.is_relative_to(folder):
            return folder, where.relative_to(folder)
    raise ValueError(
        f"{report}: no params.yaml in a folder above it; an audit needs the checkout that the report is in"
    )


def say(findings: Findings, seconds: float) -> None:
    """Print a line for each finding, then what was looked at and what was not."""
    for finding in findings.found:
        print(visible(finding.line(), but=""))
    for note in findings.notes:
        print(visible(f"note: {note}", but=""))
    print("checked: " + ", ".join(f"{count:,} {what}" for what, count in findings.checked.items() if count))
    for what, reason in findings.unchecked.items():
        print(visible(f"not checked: {what}: {reason}", but=""))
    count = len(findings.found)
    print(f"{count or 'no'} finding{'' if count == 1 else 's'}, {seconds:.1f} s")
