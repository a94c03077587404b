"""`frod init`: a suite of one's own, to run as it is and to change."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frod.cli.options import FILE

if TYPE_CHECKING:
    from frod.pipeline.inspect_data import Found

HUB = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[0-9a-f]+)?", re.ASCII)


def init(
    name: Annotated[str, typer.Argument(help="Of the suite and its task: small letters, digits and _.")],
    data: Annotated[
        str | None,
        typer.Option(help="A csv, tsv or parquet file, a folder of images or of splits, or OWNER/NAME of the Hub."),
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="Without --data: a sample of images, not of texts.")] = False,
    model: Annotated[str | None, typer.Option(help="Name of the registry; by default a small one.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="Column of the text; twice for a pair.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label.")] = None,
    config: Annotated[str, typer.Option(help="Of a data set of the Hub.")] = "default",
    params: Annotated[Path, typer.Option(**FILE, help="Parameter file.")] = Path("params.yaml"),
) -> None:
    """Write workflow/suites/NAME.yaml: your data, a model, full fine-tuning and FRoD, a budget, with comments.

    Without --data it comes with a sample, mine/NAME, and runs as it is.
    """
    from frod import files
    from frod.backbones import registry
    from frod.config.schema import did_you_mean
    from frod.pipeline import inspect_data, new_suite
    from frod.pipeline.load import check_file, load_workflow
    from frod.training import preflight

    root = params.resolve().parent
    suites = root / "workflow" / "suites"
    file = suites / f"{name}.yaml"
    new_suite.check_name(name)
    known = list(registry.load())
    if model is not None and model not in known:
        raise ValueError(f"--model: is {model!r}, no registered model{did_you_mean(model, known)}; known: {known}")
    if data is not None and images:
        raise ValueError("--images: is of the sample; leave it out, --data says by itself what it holds")
    if data is None and (text or label):
        raise ValueError("--text, --label: name columns of --data; give that, too, or leave them out")
    if file.exists():
        raise ValueError(f"{file}: is there already; choose another name, or delete it")
    found: Found
    if data is None:
        where = new_suite.write_sample(root / "mine" / name, "images" if images else "sentences")
        found = inspect_data.local(where.relative_to(root), root, text=text or [], label=label)
    elif not Path(data).exists() and re.fullmatch(HUB, data) and not Path(data).parent.is_dir():
        paths = check_file(params).get("paths")
        mirror = os.environ.get("FROD_MIRROR") or (paths.get("mirror") if isinstance(paths, dict) else None)
        id, _, revision = data.partition("@")
        found = inspect_data.hub(
            id, revision or None, config, mirror and Path(mirror).expanduser(), text=text or [], label=label
        )
    else:
        path = Path(data).resolve()
        path = path.relative_to(root) if path.is_relative_to(root) else path
        found = inspect_data.local(path, root, text=text or [], label=label)
    files.write_text(file, new_suite.text(name, found, model=model, sample=data is None, suites=suites))
    try:
        values = check_file(params)
        workflow, backbones, tasks = load_workflow(values | {"suite": name}, root, {str(params): values})
        with contextlib.chdir(root):
            preflight.check(workflow, backbones, tasks)
    except ValueError:
        file.unlink()
        raise
    print(f"{file.relative_to(root)}: {len(workflow.runs)} runs on {found.source.get('path') or found.source['hub']}")
    print(f"look at it, then: snakemake --cores 2 --config suite={name}")
