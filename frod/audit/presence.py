"""Which files there are among the results: those that the suite plans, and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import FILES
from frod.audit.study import RELEASED, Study
from frod.config import Workflow, load
from frod.files import PREFIX
from frod.provenance.hashes import TIMESTAMP
from frod.provenance.records import TABLES, output_path
from frod.provenance.run_keys import RunKey


def check(study: Study, findings: Findings) -> None:
    """Hold the files that are there against those that are planned."""
    planned = set(planned_files(study.workflow, study.results))
    for path in sorted(planned):
        if not path.is_file() and path.name not in ("rates.json", study.summary.name):  # those are looked for elsewhere
            findings.add(path, "the suite plans it, and it is missing", remedy="run `snakemake runs`")
    other = study.results / RELEASED
    if study.workflow.params.protocol != RELEASED and other.exists():
        planned |= set(_released(study, other))
        findings.notes.append(f"{other}: runs of the released protocol, which only an audit of their own report holds")
    _check_others(study.results, planned, findings)


def planned_files(workflow: Workflow, results: Path) -> Iterator[Path]:
    """All files that a suite's workflow leaves in its folder of results."""
    yield results / "summary.parquet"
    for run in workflow.runs:
        folder = results / RunKey(run.task, run.backbone, run.method, run.seed).path
        yield folder.with_name("spectrum.parquet")
        yield folder.with_name("sharpness.parquet")
        yield from (folder / name for name in FILES)
    for trial in workflow.trials:
        path = results / trial.run.task / trial.run.backbone / trial.run.method / "tune" / f"{trial.name}.json"
        yield path.with_name("rates.json")
        yield path
        yield from (output_path(path, name) for name in TABLES)


def _released(study: Study, folder: Path) -> Iterator[Path]:
    """What the released protocol plans; nothing where the suite gives it no rates."""
    try:
        workflow = load({**study.written["params"], "protocol": RELEASED})
    except ValueError:
        return
    yield from planned_files(workflow, folder)


def _check_others(top: Path, planned: set[Path], findings: Findings) -> None:
    """Name what lies below a folder and is not planned, a folder of such files in one; and every link."""
    folders = {parent for path in planned for parent in path.parents}
    unfinished = []
    for path in below(top):
        if any(part.startswith(PREFIX) for part in path.relative_to(top).parts):
            unfinished.append(path)
        elif path.is_symlink():
            what = f"is a link to {os.readlink(path)}, which is not part of the study"
            findings.add(path, what, remedy="put the files themselves there")
        elif path not in planned:
            strange = [parent for parent in path.parents if top in parent.parents and parent not in folders]
            outermost = strange[-1] if strange else path
            what = "is there, and the suite does not plan it"
            findings.add(outermost, what, NOTHING, outermost.name, remedy="remove it")
    if unfinished:
        more = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        findings.notes.append(f"{unfinished[0]}{more}: half-written, left by a process that was killed")


def below(top: Path) -> Iterator[Path]:
    """Files and links below a folder, which no link is followed to; Snakemake's stamps are not content."""
    for here, inner, names in os.walk(top):
        links = [name for name in inner if os.path.islink(os.path.join(here, name))]
        yield from (path for path in (Path(here, name) for name in sorted([*links, *names])) if not is_stamp(path))


def is_stamp(path: Path) -> bool:
    """Whether it is a stamp of Snakemake's, which is empty."""
    return path.name == TIMESTAMP and not path.is_symlink() and path.is_file() and path.stat().st_size == 0
