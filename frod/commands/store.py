"""`frod store`: make the MLflow store, once, before any run is logged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def store(
    experiment: Annotated[str, typer.Option(help="MLflow experiment.")],
    out: Annotated[Path, typer.Option(help="File that says where runs are logged.")],
) -> None:
    """Create the store and the experiment: two processes that create an SQLite store at once break it."""
    from frod import files, tracking
    from frod.provenance import records

    uri = tracking.create_store(experiment)
    files.write_json(out, records.without_secrets({"store": uri, "experiment": experiment}))
