"""`frod fetch`: a mirror of all that a suite needs from the Hub, for machines without a network; and its check."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frod.characters import visible
from frod.cli.options import FILE

if TYPE_CHECKING:
    from frod.hub.mirror import Repository


def fetch(
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder of the mirror; FROD_MIRROR names it later.")],
    suite: Annotated[str | None, typer.Option(help="Suite whose models and data are needed.")] = None,
    params: Annotated[Path, typer.Option(**FILE, help="Parameter file.")] = Path("params.yaml"),
    check: Annotated[bool, typer.Option("--check", help="Fetch nothing; hold the mirror against its record.")] = False,
) -> None:
    """Download what a suite needs into a folder laid out like the Hub, or check such a folder."""
    if suite is None and not check:
        raise ValueError("--suite is missing: whose models and data are to be fetched?")
    needs = _needs(suite, params) if suite else []
    if suite and not needs:
        print(f"the suite {suite} needs nothing from the Hub: there is nothing to fetch or to check")
        return
    if check:
        _check(out, needs)
    else:
        _fetch(out, needs, suite)


def _fetch(out: Path, needs: list[Repository], suite: str | None) -> None:
    from huggingface_hub.utils import disable_progress_bars

    from frod.hub import mirror
    from frod.provenance import secrets

    if not sys.stderr.isatty():
        disable_progress_bars()
    failed, todo = [], []
    for need in needs:
        try:
            todo.append((need, mirror.plan(out, need)))
        except ValueError as error:
            failed.append(str(error))
    out.mkdir(parents=True, exist_ok=True)
    needed, free = sum(plan.bytes[name] for _, plan in todo for name in plan.missing), shutil.disk_usage(out).free
    if needed > free:
        raise ValueError(f"--out {out}: {_bytes(needed)} are to be fetched, {_bytes(free)} are free on the disk")
    for need, plan in todo:
        size = _bytes(sum(plan.bytes[name] for name in plan.missing))
        what = f"fetching {len(plan.missing)}, {size}" if plan.missing else "all there"
        print(f"{need.name} at {plan.revision[:12]}: {len(plan.bytes)} files, {what}", flush=True)
        try:
            mirror.fetch(out, need, plan)
        except ValueError as error:
            failed.append(str(error))
    if failed:
        said = "\n".join([f"{len(failed)} of {len(needs)} repositories failed:", *failed])
        print(visible(secrets.removed_from(said)), file=sys.stderr)  # the Hub's address may hold a password
        raise typer.Exit(1)
    print(f"{out} has all that the suite {suite} needs from the Hub; set FROD_MIRROR={out}")


def _check(out: Path, needs: list[Repository]) -> None:
    from frod.hub import mirror

    if not out.is_dir():
        raise ValueError(f"--out {out} is not a folder")
    if not needs and not mirror.recorded(out):
        raise ValueError(
            f"--out {out}: has no {mirror.RECORD}, so there is nothing to hold its files against; name the suite that "
            "it is for by --suite, or the folder that `frod fetch` filled"
        )
    for _, names in groupby(mirror.unrecorded(out), key=lambda name: name.split("/")[:3]):
        first, *others = names
        more = f", like {len(others)} more of this repository" if others else ""
        print(visible(f"{first}: has no recorded sha256{more}"))
    wrong = list(mirror.faults(out, needs))
    print(visible("\n".join(wrong)) if wrong else f"{out}: nothing wrong found")
    if wrong:
        raise typer.Exit(1)


def _needs(suite: str, params: Path) -> list[Repository]:
    """What the tasks and backbones of a suite, and the tasks that backbones are pre-trained on, take from the Hub."""
    from frod.backbones import registry as backbones
    from frod.hub.mirror import Repository
    from frod.pipeline.load import check_file, load_workflow
    from frod.tasks import registry as tasks

    # A suite that skips what the mirror lacks is to be fetched whole: no mirror is looked at.
    os.environ.pop("FROD_MIRROR", None)
    values, asked = check_file(params), {"suite": suite}
    settings = values | asked
    if isinstance(settings.get("paths", {}), dict):  # else it is refused below
        settings["paths"] = settings.get("paths", {}) | {"mirror": None}
    workflow, known_backbones, known_tasks = load_workflow(
        settings, params.resolve().parent, {"--suite": asked, str(params): values}
    )
    models = [known_backbones[name] for name in workflow.backbones()]
    names = [task for task, _ in workflow.pairs()] + [m.pretrained_on for m in models if m.pretrained_on]
    needs = []
    for task in (known_tasks[name] for name in dict.fromkeys(names)):
        for part, splits in task.by_source():
            source = part.source
            if isinstance(source, tasks.Hub):
                rows = {source.pattern(split): task.rows[split].rows for split in splits}
                counted = {pattern: count for pattern, count in rows.items() if pattern.endswith(".parquet")}
                needs.append(Repository("datasets", source.id, source.revision, tuple(rows), rows=counted))
    for source in (model.source for model in models):
        if isinstance(source, backbones.Hub):
            needs.append(Repository("models", source.id, source.revision, source.needed, source.optional, source.gated))
    return _merged(needs)


def _merged(needs: list[Repository]) -> list[Repository]:
    """Join what is needed of the same repository; ValueError where it is needed at two commits."""
    merged: dict[str, Repository] = {}
    for need in needs:
        other = merged.get(need.name, need)
        if other.revision != need.revision:
            raise ValueError(f"{need.name}: is needed at {other.revision} and at {need.revision}; a mirror holds one")
        merged[need.name] = replace(
            need,
            patterns=tuple(dict.fromkeys((*other.patterns, *need.patterns))),
            optional=tuple(dict.fromkeys((*other.optional, *need.optional))),
            rows=other.rows | need.rows,
        )
    return list(merged.values())


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
