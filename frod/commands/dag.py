"""`frod dag`: draw the rules of the workflow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def dag(out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("docs/dag.svg")) -> None:
    """Draw Snakemake's own graph of the rules as SVG."""
    from frod.reporting import dag as drawing

    command = [sys.executable, "-m", "snakemake", "--rulegraph", "dot", "--quiet", "all"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(drawing.draw(drawing.parse(text)))
