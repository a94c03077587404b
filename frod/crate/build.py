"""From the files of a finished suite to its crate."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from frod import files
from frod.config import Workflow, safe_yaml
from frod.crate.description import PARAMS, WORKFLOW, Description
from frod.crate.graph import METADATA, Graph, command
from frod.crate.jobs import Jobs
from frod.crate.payload import Payload, source_files, suite_files


def build(
    folder: Path,
    report: Mapping[str, Any],
    workflow: Workflow,
    specs: Mapping[str, Mapping[str, Any]],
    out: Path,
    *,
    with_data: bool = False,
    author: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Write the crate of a suite, a folder or, where `out` ends in .zip, one file.

    Parameters
    ----------
    folder : Path
        Of the report. Paths are relative to the working directory, which is the project's folder.
    report : mapping
        Of its report.json.
    workflow : Workflow
        Of the report's parameters.
    specs : mapping of "backbone" and "task" to the registry's entries by name
    out : Path
    with_data : bool
        Hold also weights, arrays, bases and adapters.
    author : mapping with `name` and, where there is one, `orcid`, optional

    Returns
    -------
    dict
        Numbers of `jobs`, and of files and their bytes that the crate holds or only names.

    Raises
    ------
    ValueError
        Names every file that is missing, altered or holds a secret, or says why `out` cannot be written to.
    """
    check_target(out)
    payload = Payload(workflow, with_data=with_data)
    jobs_of = Jobs(workflow, payload, specs)
    jobs = jobs_of.read(folder / "report.json")
    commands = dict.fromkeys(command(job.rule) for job in jobs)
    for path in (*map(Path, (WORKFLOW, *commands)), *suite_files(workflow), *source_files()):
        payload.add(path)
    add_params(payload, report["params"])
    known = payload.known()
    crate = Graph()
    Description(crate, workflow, report, jobs, list(jobs_of.records.values())).all(known, specs, author)
    if out.suffix == ".zip":
        with tempfile.TemporaryDirectory() as temporary:
            crate.write(Path(temporary))
            _zip(Path(temporary), out)
    else:
        with files.whole_directory(out) as temporary:
            crate.write(temporary)
    made = {"jobs": len(jobs), "files": 0, "bytes": 0, "named": 0, "named_bytes": 0}
    for one in known.values():
        made["files" if one.held else "named"] += 1
        made["bytes" if one.held else "named_bytes"] += one.size
    return made


def check_target(out: Path) -> None:
    """What is there is replaced; so it must be a crate, or an empty folder."""
    if any(folder.is_file() for folder in out.parents):
        raise ValueError(f"--out {out}: lies in a file; give another name")
    if not out.exists():
        return
    if out.suffix == ".zip" and zipfile.is_zipfile(out):
        with zipfile.ZipFile(out) as packed:
            crate = METADATA in packed.namelist()
    else:
        crate = out.suffix != ".zip" and out.is_dir() and ((out / METADATA).is_file() or not any(out.iterdir()))
    if not crate:
        raise ValueError(f"--out {out}: is there, and is no crate; give another name")


def _zip(folder: Path, out: Path) -> None:
    """Pack a folder; the same files give the same bytes, so times are left out."""
    with files.path_for(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix())
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            with path.open("rb") as source, packed.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)


def add_params(payload: Payload, params: Mapping[str, Any]) -> None:
    """Add params.yaml; where it has other settings than the suite was run with, as after `--config`, add those."""
    path = Path(PARAMS)
    try:
        same = safe_yaml.read(path) == params
    except ValueError:  # none, or one that says nothing
        same = False
    if same:
        payload.add(path)
    else:
        payload.add_text(
            PARAMS, "# As the suite was run: params.yaml had other settings.\n" + yaml.safe_dump(dict(params))
        )
