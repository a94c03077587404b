"""DVC: the md5s in dvc.lock are those of the files."""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.study import OWN, Study
from frod.provenance.dvc_lock import LOCK, cached, entries

NAME = "DVC"
IGNORE = Path(".dvcignore")
REMEDY = "commit what is right (`make dvc-commit`), or restore it (`dvc checkout`)"


def check(study: Study, findings: Findings) -> None:
    """Hold what dvc.lock lists against the files; without a lock of this suite say so."""
    if not LOCK.is_file():
        findings.unchecked[NAME] = f"there is no {LOCK}"
        return
    with findings.guard(LOCK, "what it lists"):
        listed = entries()
        suite = Path(study.workflow.params.paths.results) / study.workflow.name.partition("/")[0]
        if suite not in listed:
            findings.unchecked[NAME] = f"{LOCK} does not list {suite}: the last commit was of another suite"
            return
        for path, expected in listed.items():
            _check_entry(study, path, expected, findings)
        findings.checked["DVC entries"] += len(listed)


def _check_entry(study: Study, path: Path, expected: str, findings: Findings) -> None:
    if not path.exists():
        findings.add(path, f"is listed in {LOCK}, and missing", expected, NOTHING, remedy=REMEDY)
    elif path.is_file():
        found = study.digests.sha256(path, md5=True)
        if found != expected:
            findings.add(path, f"md5 (in {LOCK})", expected, found, remedy=REMEDY)
    else:
        _check_folder(study, path, expected, findings)


def _check_folder(study: Study, folder: Path, expected: str, findings: Findings) -> None:
    names = {path.relative_to(folder).as_posix(): path for path in files_in(folder)}
    study.digests.read(names.values())
    md5s = {name: study.digests.sha256(path, md5=True) for name, path in names.items()}
    if expected in (folder_md5(md5s), folder_md5({name: md5 for name, md5 in md5s.items() if Path(name).name != OWN})):
        return
    listing = cached(expected)
    if not listing.is_file():
        remedy = f"{REMEDY}; `dvc status` may name the file"
        findings.add(folder, f"md5 of the folder (in {LOCK})", expected, folder_md5(md5s), remedy=remedy)
        return
    listed = {entry["relpath"]: entry["md5"] for entry in json.loads(listing.read_text("utf-8"))}
    for name in sorted(listed.keys() | md5s.keys()):
        one, other = listed.get(name, NOTHING), md5s.get(name, NOTHING)
        if one != other and not (one is NOTHING and Path(name).name == OWN):
            findings.add(folder / name, f"md5 (in {LOCK}, as {folder})", one, other, remedy=REMEDY)


def folder_md5(md5s: dict[str, Any]) -> str:
    """DVC's hash of a folder: of the JSON list of its files' hashes and names, in the names' order."""
    listing = [{"md5": md5s[name], "relpath": name} for name in sorted(md5s)]
    text = json.dumps(listing, sort_keys=True)
    return f"{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}.dir"


def files_in(folder: Path) -> Iterator[Path]:
    """Files that DVC sees: what no pattern in .dvcignore names."""
    lines = IGNORE.read_text("utf-8").splitlines() if IGNORE.is_file() else []
    patterns = [line.strip().rstrip("/") for line in lines if line.strip() and not line.startswith("#")]

    def ignored(name: str) -> bool:
        return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)

    for here, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not ignored(name)]
        yield from (Path(here) / name for name in sorted(names) if not ignored(name))
