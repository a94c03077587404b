"""`frod schema`: JSON schemas of params.yaml and the suite files, generated from frod/config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def schemas() -> dict[str, str]:
    """Return the text of each schema file by name."""
    from frod.config import Params, Suite
    from frod.config.schema import StrictModel

    kinds: dict[str, type[StrictModel]] = {"params.schema.json": Params, "suite.schema.json": Suite}
    return {name: json.dumps(kind.model_json_schema(), indent=2) + "\n" for name, kind in kinds.items()}


def schema(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder to write to.")] = Path("workflow/schemas"),
) -> None:
    """Write the schemas; editors use them to complete and check the files."""
    from frod import files

    for name, text in schemas().items():
        files.write_text(out / name, text)
