"""What was changed after the runs and stands in no suite: registries, the code of claims and report, the audit's own.

Code that no training runs may be changed after it: that is how a report gets better, and how a rule could be made to
fit. So a reader is told which modules; entries of the registries that runs were made by have to be what they were.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.machinery import BYTECODE_SUFFIXES
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.study import Study
from frod.config import safe_yaml
from frod.evaluation.formatting import listed
from frod.provenance import code, history
from frod.provenance.git import git_text

REPORT = "frod.cli.report"
FIRST = ("frod.claims.", "frod.config.", "frod.evaluation.")  # what verdicts are made by
NAMED = 6
WORDS = {"title", "licence"}
REGISTRIES = ("tasks/registry.yaml", "backbones/registry.yaml")
UNCHECKED = b"\x01"  # flags of a compiled file that names its source by a hash (1) which Python does not check (2)


@cache
def whole_package(tree: Path) -> Path:
    """The code of a commit of which `tree` has a few files: the other hundreds are unpacked when they are asked for."""
    history.unpacked(tree.name, ["frod"], tree.parent)
    return tree / "frod"


def check(study: Study, tree: Path, findings: Findings) -> None:
    """Hold registries and the code behind the page against those of the runs' commit, unpacked into `tree`."""
    tasks, backbones = ({pair[place] for pair in study.workflow.pairs()} for place in (0, 1))
    for name, used in zip(REGISTRIES, (tasks, backbones)):
        _check_registry(name, used, tree, findings)
    then, now = _of_commit(tree), _here()
    changed = sorted(
        (name for name in then.keys() | now.keys() if then.get(name) != now.get(name)),
        key=lambda name: (not name.startswith(FIRST), name),
    )
    if changed:
        findings.note(
            f"claims and report are by other code than commit {tree.name[:12]} has, by which runs were made: "
            f"{listed(changed, NAMED)}"
        )


def check_here(findings: Findings) -> None:
    """Say where the code that audits is none of this checkout's last commit, or is compiled from unknown source."""
    package = code.PACKAGE_DIRECTORY
    listing = (git_text("ls-tree", "-r", "-z", "HEAD", "--", "./frod") or "").split("\0")
    said = {name: fields.split()[2] for fields, _, name in (entry.partition("\t") for entry in listing if entry)}
    here = {f"frod/{path.relative_to(package).as_posix()}": path for path in package.rglob("*.py")}
    committed = {name for name in said if name.endswith(".py")}
    altered = [name for name in committed | here.keys() if name not in here or not _is_blob(here[name], said.get(name))]
    if altered:
        names = listed(sorted(altered), NAMED)
        findings.note(f"this audit is by other code than the checkout's last commit has: {names}")
    compiled = [path for suffix in BYTECODE_SUFFIXES for path in package.rglob(f"*{suffix}")]
    if unseen := sorted(str(path) for path in compiled if path.read_bytes()[4:5] == UNCHECKED):
        names = listed(unseen, NAMED)
        findings.note(f"this audit is by compiled files whose source Python does not look at: {names}")


def _is_blob(path: Path, digest: str | None) -> bool:
    """Whether a file is what git names by a hash, whatever its index or its filters say; line ends do not count."""
    content = path.read_bytes().replace(b"\r\n", b"\n")
    made = hashlib.sha256 if len(digest or "") == hashlib.sha256().digest_size * 2 else hashlib.sha1
    return made(b"blob %d\0" % len(content) + content).hexdigest() == digest


def _check_registry(name: str, used: set[str], tree: Path, findings: Findings) -> None:
    paths = [package / name for package in (tree / "frod", code.PACKAGE_DIRECTORY)]
    if paths[0].read_bytes() == paths[1].read_bytes():
        return
    then, now = map(safe_yaml.read, paths)
    for entry in sorted(used & (then.keys() | now.keys())):
        sides = [registry.get(entry) or {} for registry in (then, now)]
        for field in sorted(set().union(*sides)):
            was, is_now = (side.get(field, NOTHING) for side in sides)
            if was == is_now:
                continue
            if field in WORDS:
                findings.note(f"frod/{name}: {entry}.{field} is {is_now}, and was {was} at commit {tree.name[:12]}")
            else:
                findings.add(f"frod/{name}", f"{entry}.{field}, by commit {tree.name[:12]}", was, is_now)


@cache
def _here() -> dict[str, str]:
    return _of_page(code.PACKAGE_DIRECTORY)


BY_COMMIT: dict[str, dict[str, str]] = {}


def _of_commit(tree: Path) -> dict[str, str]:
    if tree.name not in BY_COMMIT:  # a commit is one thing for ever
        BY_COMMIT[tree.name] = _of_page(whole_package(tree))
    return BY_COMMIT[tree.name]


def _of_page(package: Path) -> dict[str, Any]:
    """Digests of all that a page is made by: of `frod.config`, too, which job hashes leave out."""
    return code.reached(REPORT, exclude=REGISTRIES, package=package)
