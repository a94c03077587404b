"""Code and parameters: records and report name a commit, and what they say of the code and the plan is what it has."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from frod.audit import later_code
from frod.audit.findings import NOTHING, Findings, shown
from frod.audit.study import Study
from frod.config import safe_yaml
from frod.evaluation.formatting import listed
from frod.provenance import code, history, secrets
from frod.provenance.git import git, git_text
from frod.provenance.run_keys import RunKey
from frod.reporting import changes, collect

RUNS, REPORT = "frod.cli.train", "frod.cli.report"
AGAIN = "run `snakemake`"
RESTORE = f"put it back as it was; or delete the runs and {AGAIN}"
LATER = 50  # commits that are looked at for the code and the suite of runs that were not committed
SINCE = "since_first_run"


@cache
def _tree(folder: Path, commit: str, paths: tuple[str, ...]) -> Path | None:
    """Folder with files of a commit, unpacked into `folder`; None where git does not have it."""
    return history.unpacked(commit, paths, folder)


HASHES: dict[tuple[str, str], str] = {}


def _code_hash(tree: Path, entry: str) -> str:
    """The hash of a commit's code. The folder is named by the commit, which is one thing for ever."""
    key = tree.name, entry
    if key not in HASHES:
        HASHES[key] = code.code_hash(entry, package=later_code.whole_package(tree))
    return HASHES[key]


@cache
def hash_here(entry: str) -> str:
    """The hash of the code that is here, which does not change while it runs."""
    return code.code_hash(entry)


def check(study: Study, findings: Findings) -> None:
    """Hold the records' commits, code and plan, and the report's, against git and against the code that is here."""
    _check_code(study, findings)
    if git("rev-parse", "HEAD") is None:
        findings.unchecked["code and parameters against git"] = "this is no git checkout, or git is not installed"
        return
    with tempfile.TemporaryDirectory(prefix="frod-audit-") as folder:
        missing: dict[str, list[Path]] = {}
        for (commit, digest, edited), keys in _made_by(study).items():
            paths = [study.folder(key) / "record.json" for key in keys]
            tree = _sources(study, Path(folder), str(commit))
            if tree is None:
                missing.setdefault(str(commit or ""), []).extend(paths)
                continue
            findings.checked["commits"] += 1
            _check_reached(paths[0], commit, findings)
            _check_times(study, commit, keys, findings)
            if edited:
                _check_edited(study, Path(folder), commit, digest, paths, findings)
                continue
            for path in paths:
                with findings.guard(path, "its code at its commit"):
                    at = _code_hash(tree, RUNS)
                    findings.equal(path, f"code.hash, by commit {commit[:12]}", at, digest, remedy=AGAIN)
            with findings.guard(paths[0], f"the plan at commit {commit[:12]}"):
                _check_plan(study, tree, commit, findings)
            with findings.guard(paths[0], f"what was changed after commit {commit[:12]}"):
                later_code.check(study, tree, findings)
        later_code.check_here(findings)
        for commit, paths in missing.items():
            _check_missing(f"code of {len(paths)} runs against git", paths[0], commit, findings)
        _check_report(study, Path(folder), findings)


def _sources(study: Study, folder: Path, commit: str) -> Path | None:
    """Folder with a commit's parameters, suites and registries; `later_code.whole_package` adds the code to it."""
    registries = (f"frod/{name}" for name in later_code.REGISTRIES)
    return _tree(folder, commit, (*registries, *changes.sources(study.workflow)))


def _check_missing(what: str, path: Path, commit: str, findings: Findings) -> None:
    """A commit that is not here cannot be looked at, and in a clone that lacks nothing it does not exist."""
    if not commit:
        findings.unchecked[what] = "made outside of git"
    elif history.is_whole():
        findings.add(
            path,
            f"code.git_commit, {what}",
            f"commit {commit[:12]}",
            f"{NOTHING}, and the clone is whole",
            remedy="`git fetch --all --tags` may bring it; else nobody can look at it: " + AGAIN,
        )
    else:
        findings.unchecked[what] = f"this clone has no commit {commit[:12]}; `git fetch --unshallow` may bring it"


def _check_reached(path: Path, commit: str, findings: Findings) -> None:
    if not history.is_reached(commit):
        remedy = f"`git tag NAME {commit[:12]}` keeps it"
        findings.add(
            path, "code.git_commit: a clone does not get it", "a branch or tag that has it", NOTHING, remedy=remedy
        )


def _made_by(study: Study) -> dict[tuple[Any, Any, bool], list]:
    """Runs by their commit, their code, and whether files had been edited since the commit."""
    groups: dict[tuple[Any, Any, bool], list] = {}
    for key, record in study.records.items():
        if isinstance(said := record.get("code"), Mapping):
            groups.setdefault((said.get("git_commit"), said.get("hash"), bool(said.get("git_dirty"))), []).append(key)
    return groups


def _check_times(study: Study, commit: str, keys: Sequence[RunKey], findings: Findings) -> None:
    """A run cannot have begun before its commit was made, nor before one that its commit stands on."""
    youngest, made = history.youngest(commit)
    whose = "" if youngest == commit else f"stands on {youngest[:12]}, which is "
    for key in keys:
        path = study.folder(key) / "record.json"
        with findings.guard(path, "its time"):
            started = datetime.fromisoformat(study.records[key]["started"])
            if started < made:
                what = f"code.git_commit: {whose}younger than the run's start {started}"
                findings.add(path, what, f"by {made}", commit[:12])
    if youngest != commit and history.made(commit) < made:
        findings.notes.append(f"commit {commit[:12]} says that it is older than {youngest[:12]}, on which it stands")


def _check_edited(
    study: Study, folder: Path, commit: str, digest: str, paths: Sequence[Path], findings: Findings
) -> None:
    """Of runs whose checkout had edited files, look for the commit that has their very code and suite."""
    candidate = _commit_with(study, folder, commit, lambda tree: _code_hash(tree, RUNS) == digest)
    if candidate is None:
        findings.add(
            paths[0],
            f"code and suite, as of {len(paths) - 1} more runs: edited since commit {commit[:12]}, in no later commit",
            "a commit that has them",
            "none",
            remedy=f"commit them as they were; or commit what is here, delete the runs and {AGAIN}",
        )
        return
    when = "" if candidate == commit else f", committed after them ({history.made(candidate).isoformat()})"
    trees = [_sources(study, folder, one) for one in (commit, candidate)]
    with findings.guard(paths[0], f"the plan at commit {candidate[:12]}"):
        before = [one.field for one in (trees[0] and _changes(study, trees[0])) or [] if not one.is_wording]
        findings.notes.append(
            f"{paths[0].parent} and {len(paths) - 1} more runs were made with files that were not committed; "
            f"commit {candidate[:12]} has their very code and suite{when}"
            + (f"; before them commit {commit[:12]} said otherwise: {listed(before)}" if before else "")
        )
        if trees[1]:
            _check_plan(study, trees[1], candidate, findings)


def _commit_with(study: Study, folder: Path, commit: str, has_code: Callable[[Path], bool]) -> str | None:
    """A commit that says what is audited but for wordings; else the first after it that plans it, with some code.

    A later one that says otherwise what verdicts hang on is found out by what the first one said.
    """
    later = git_text("rev-list", "--reverse", f"{commit}..HEAD", "--", "frod", *changes.sources(study.workflow)) or ""
    for candidate in [commit, *later.split()[:LATER]]:
        tree = _sources(study, folder, candidate)
        try:
            changed = _changes(study, tree) if tree else None
            plans = changed is not None and not any(one.is_of_plan for one in changed)
            says = plans and all(one.is_wording for one in changed or ())
            same = (says if candidate == commit else plans) and tree and has_code(tree)
        except (ValueError, SyntaxError):  # a commit whose suite or code cannot be read has another one
            same = False
        if same:
            return candidate
    return None


def _check_code(study: Study, findings: Findings) -> None:
    """The code of all runs is one, and it is here: else the first of them is named, and how many there are."""
    now, usual = hash_here(RUNS), study.usual_code
    findings.checked["code hashes"] += len(study.records)
    by_hash: dict[Any, list] = {}
    for (_, digest, _), keys in _made_by(study).items():
        by_hash.setdefault(digest, []).extend(keys)
    for digest, keys in by_hash.items():
        paths = [study.folder(key) / "record.json" for key in keys]
        for path in paths if digest != usual else ():
            findings.add(path, "code.hash: other code than the other runs'", usual, digest, remedy=AGAIN)
        if digest != now:
            more = f" (and of {len(keys) - 1} more)" if len(keys) > 1 else ""
            findings.add(paths[0], f"code.hash{more}: run by other code than is here", now, digest, remedy=AGAIN)


def _changes(study: Study, tree: Path) -> list[changes.Change] | None:
    """What suite and parameters here say otherwise than those of a commit; None where it does not have them."""
    then = changes.as_of(tree, study.workflow)
    return None if then is None else changes.changes(then, study.workflow)


def _check_plan(study: Study, tree: Path, commit: str, findings: Findings) -> None:
    """What a commit's own params.yaml and suite plan and say is what is audited; other words are a note."""
    suite, then = study.workflow.params.suite, changes.as_of(tree, study.workflow)
    if then is None:
        _check_outside(study, commit, findings)
        return
    where = "params.yaml" if suite.endswith((".yaml", ".yml")) else f"params.yaml, workflow/suites/{suite}.yaml"
    planned, audited = changes.plan(then), changes.plan(study.workflow)
    findings.equal(
        where, f"plans other runs than commit {commit[:12]}", planned, audited, remedy=f"commit, then {AGAIN}"
    )
    for one in changes.changes(then, study.workflow):
        sides = [NOTHING if side is None else side for side in (one.then, one.now)]
        if one.is_wording:
            was, now = map(shown, sides)
            findings.note(f"{where}: {one.field} is {now}, and was {was} at commit {commit[:12]}")
        else:
            findings.add(where, f"{one.field}, by commit {commit[:12]}", *sides, remedy=RESTORE)
    findings.checked["runs planned by their commit"] += len(planned)


def _check_outside(study: Study, commit: str, findings: Findings) -> None:
    """A suite that a commit does not have; one that lies outside of the checkout no commit can have."""
    file = changes.suite_file(study.workflow)
    if Path(file).resolve().is_relative_to(Path.cwd()):
        remedy = f"commit it, delete the runs and {AGAIN}"
        findings.add(file, f"the suite, by commit {commit[:12]}", "there", NOTHING, remedy=remedy)
    else:
        findings.unchecked[f"the plan at commit {commit[:12]}"] = f"the suite's file is not of this checkout ({file})"


def _check_report(study: Study, folder: Path, findings: Findings) -> None:
    path, made_by = study.report / collect.FILE, study.written["code"]
    with findings.guard(path, SINCE):
        _check_since(study, path, findings)
    what, commit = "the report's code and parameters against git", str(made_by.get("git_commit") or "")
    tree = _sources(study, folder, commit)
    if tree is None:
        _check_missing(what, path, commit, findings)
        return
    _check_reached(path, commit, findings)
    with findings.guard(path, "its code at its commit"):
        at = _code_hash(tree, REPORT)
        findings.equal(
            path, f"code.hash, by commit {commit[:12]}", at, made_by["hash"], remedy="run `snakemake report`"
        )
    if made_by.get("git_dirty"):
        findings.notes.append(f"{path}: made while files of the checkout were not committed")
        commit = _commit_with(study, folder, commit, lambda _: True) or commit
        tree = _sources(study, folder, commit) or tree
    with findings.guard(path, f"the suite at commit {commit[:12]}"):
        _check_plan(study, tree, commit, findings)
    _check_params(path, commit, dict(study.written["params"]), tree, findings)
    findings.checked["commits"] += 1


def _check_params(path: Path, commit: str, params: dict[str, Any], tree: Path, findings: Findings) -> None:
    then = safe_yaml.read(tree / "params.yaml")
    for name in changes.PER_CALL:
        one, other = params.pop(name, None), then.pop(name, None)
        if one != other:
            findings.notes.append(f"{path}: {name} is {one}, in params.yaml of commit {commit[:12]} it is {other}")
    findings.equal(
        path, f"params, by params.yaml of commit {commit[:12]}", then, params, remedy=f"commit, then {AGAIN}"
    )


def _check_since(study: Study, path: Path, findings: Findings) -> None:
    """What the report says was changed after the first run is what git says."""
    said = study.written.get(SINCE)
    found = secrets.removed_from(changes.since_first_run(study.records, study.workflow))
    if "unknown" in found:
        findings.unchecked["what was changed after the first run"] = found["unknown"]
    elif isinstance(said, Mapping) and "unknown" in said:
        findings.notes.append(f"{path}: says that it cannot tell what was changed after the first run; here git can")
    else:
        findings.equal(path, f"{SINCE}, by git", found, said, remedy="run `snakemake report`")
