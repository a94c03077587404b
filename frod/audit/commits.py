"""Code and parameters: records and report name a commit, and what they say of the code and the plan is what it has."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.config import Workflow, load
from frod.provenance import code
from frod.provenance.git import git, git_text
from frod.provenance.run_keys import RunKey
from frod.reporting import collect

RUNS, REPORT = "frod.cli.train", "frod.cli.report"
# Which suite, where things lie, how jobs are run: chosen per call. What the suite plans is looked at by itself.
PER_CALL = ("suite", "protocol", "paths", "tracking", "resources")
SOURCES = ("frod", "params.yaml", "workflow/suites")
AGAIN = "run `snakemake`"
COMMITS = 50  # later ones that are looked at for the code and the suite of runs that were not committed
COMMIT = re.compile(r"[0-9a-f]{40,64}")


@cache
def _tree(folder: Path, commit: str) -> Path | None:
    """Folder with the sources of a commit, unpacked into `folder`; None where git does not have it."""
    # What a record says is no more than a claim: git is given nothing that it might take for an option.
    known = COMMIT.fullmatch(commit) and git("cat-file", "-e", f"{commit}^{{commit}}") is not None
    there = [path for path in SOURCES if known and git("cat-file", "-e", f"{commit}:./{path}") is not None]
    archive = git("archive", "--format=zip", commit, *there) if known else None
    if archive is None:
        return None
    with zipfile.ZipFile(io.BytesIO(archive)) as sources:
        sources.extractall(folder / commit)  # which keeps every name within the folder
    return folder / commit


@cache
def _code_hash(tree: Path, entry: str) -> str:
    return code.code_hash(entry, package=tree / "frod")


def check(study: Study, findings: Findings) -> None:
    """Hold the records' commits, code and plan, and the report's, against git and against the code that is here."""
    _check_code(study, findings)
    if git("rev-parse", "HEAD") is None:
        findings.unchecked["code and parameters against git"] = "this is no git checkout, or git is not installed"
        return
    with tempfile.TemporaryDirectory(prefix="frod-audit-") as folder:
        missing: dict[str, int] = {}
        for (commit, digest, edited), keys in _made_by(study).items():
            paths = [study.folder(key) / "record.json" for key in keys]
            tree = _tree(Path(folder), commit) if commit else None
            if tree is None:
                missing[str(commit)] = missing.get(str(commit), 0) + len(paths)
                continue
            findings.checked["commits"] += 1
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
        for commit, count in missing.items():
            reason = f"this clone has no commit {commit[:12]}; `git fetch --unshallow` may bring it"
            if commit in ("None", ""):
                reason = "they were made outside of git"
            findings.unchecked[f"code of {count} runs against git"] = reason
        _check_report(study, Path(folder), findings)


def _made_by(study: Study) -> dict[tuple[Any, Any, bool], list]:
    """Runs by their commit, their code, and whether files had been edited since the commit."""
    groups: dict[tuple[Any, Any, bool], list] = {}
    for key, record in study.records.items():
        if isinstance(said := record.get("code"), Mapping):
            groups.setdefault((said.get("git_commit"), said.get("hash"), bool(said.get("git_dirty"))), []).append(key)
    return groups


def _check_times(study: Study, commit: str, keys: Sequence[RunKey], findings: Findings) -> None:
    """A run cannot have begun before its commit was made."""
    made = datetime.fromisoformat(str(git_text("show", "--no-patch", "--format=%cI", commit)))
    for key in keys:
        path = study.folder(key) / "record.json"
        with findings.guard(path, "its time"):
            started = datetime.fromisoformat(study.records[key]["started"])
            if started < made:
                findings.add(
                    path, f"code.git_commit: younger than the run's start {started}", f"by {made}", commit[:12]
                )


def _check_edited(
    study: Study, folder: Path, commit: str, digest: str, paths: Sequence[Path], findings: Findings
) -> None:
    """Of runs whose checkout had edited files, look for the commit that has their very code and plan."""
    later = git_text("rev-list", "--reverse", f"{commit}..HEAD", "--", *SOURCES) or ""
    for candidate in [commit, *later.split()[:COMMITS]]:
        tree = _tree(folder, candidate)
        try:
            same = tree and _planned_by(study, tree) == _plan(study.workflow, []) and _code_hash(tree, RUNS) == digest
        except (ValueError, SyntaxError):  # a commit whose suite or code cannot be read has another one
            same = False
        if same:
            made = git_text("show", "--no-patch", "--format=%cI", candidate)
            when = "" if candidate == commit else f", committed after them ({made})"
            findings.notes.append(
                f"{paths[0].parent} and {len(paths) - 1} more runs were made with files that were not committed; "
                f"commit {candidate[:12]} has their very code and suite{when}"
            )
            return
    findings.add(
        paths[0],
        f"code and suite, as of {len(paths) - 1} more runs: edited since commit {commit[:12]}, in no later commit",
        "a commit that has them",
        "none",
        remedy=f"commit them as they were; or commit what is here, delete the runs and {AGAIN}",
    )


def _by(study: Study, name: str) -> dict[Any, list]:
    """Runs by what their records say of the code."""
    groups: dict[Any, list] = {}
    for key, record in study.records.items():
        if isinstance(record.get("code"), Mapping):
            groups.setdefault(record["code"].get(name), []).append(key)
    return groups


def _check_code(study: Study, findings: Findings) -> None:
    """The code of all runs is one, and it is here: else the first of them is named, and how many there are."""
    now, usual = code.code_hash(RUNS), study.usual_code
    findings.checked["code hashes"] += len(study.records)
    for digest, keys in _by(study, "hash").items():
        paths = [study.folder(key) / "record.json" for key in keys]
        for path in paths if digest != usual else ():
            findings.add(path, "code.hash: other code than the other runs'", usual, digest, remedy=AGAIN)
        if digest != now:
            more = f" (and of {len(keys) - 1} more)" if len(keys) > 1 else ""
            findings.add(paths[0], f"code.hash{more}: run by other code than is here", now, digest, remedy=AGAIN)


def _check_plan(study: Study, tree: Path, commit: str, findings: Findings) -> None:
    """What the commit's own params.yaml and suite plan is what is audited."""
    suite = study.workflow.params.suite
    planned, audited = _planned_by(study, tree), _plan(study.workflow, [])
    if planned is None:
        findings.unchecked[f"the plan at commit {commit[:12]}"] = f"git does not have the suite's file ({suite})"
        return
    where = "params.yaml" if suite.endswith((".yaml", ".yml")) else f"params.yaml, workflow/suites/{suite}.yaml"
    findings.equal(
        where, f"plans other runs than commit {commit[:12]}", planned, audited, remedy=f"commit, then {AGAIN}"
    )
    findings.checked["runs planned by their commit"] += len(planned)


def _planned_by(study: Study, tree: Path) -> dict[str, Any] | None:
    """What the params.yaml and the suite of a commit plan; None where it does not have the suite."""
    suite = study.workflow.params.suite
    if not (tree / "workflow" / "suites" / f"{suite}.yaml").is_file() and not (tree / suite).is_file():
        return None
    per_call = {name: study.written["params"][name] for name in PER_CALL if name in study.written["params"]}
    return _plan(load(_params(tree) | per_call, tree), study.workflow.skipped)


def _plan(workflow: Workflow, skipped: Iterable[str]) -> dict[str, Any]:
    runs = {run.key: run.resolved() for run in workflow.runs if run.task not in skipped}
    trials = {
        f"{trial.run.folder}/tune/trial-{trial.index}": trial.run.resolved()
        for trial in workflow.trials
        if trial.run.task not in skipped
    }
    return runs | trials


def _params(tree: Path) -> dict[str, Any]:
    import yaml

    return yaml.safe_load((tree / "params.yaml").read_text("utf-8"))


def _check_report(study: Study, folder: Path, findings: Findings) -> None:
    path, made_by = study.report / collect.FILE, study.written["code"]
    commit = made_by.get("git_commit")
    tree = _tree(folder, commit) if commit else None
    if tree is None:
        findings.unchecked["the report's code and parameters against git"] = (
            f"this clone has no commit {commit[:12]}" if commit else "it was made outside of git"
        )
        return
    with findings.guard(path, "its code at its commit"):
        at = _code_hash(tree, REPORT)
        findings.equal(
            path, f"code.hash, by commit {commit[:12]}", at, made_by["hash"], remedy="run `snakemake report`"
        )
    if made_by.get("git_dirty"):
        findings.notes.append(f"{path}: made while files of the checkout were not committed")
    params, then = dict(study.written["params"]), _params(tree)
    for name in PER_CALL:
        one, other = params.pop(name, None), then.pop(name, None)
        if one != other:
            findings.notes.append(f"{path}: {name} is {one}, in params.yaml of commit {commit[:12]} it is {other}")
    findings.equal(
        path, f"params, by params.yaml of commit {commit[:12]}", then, params, remedy=f"commit, then {AGAIN}"
    )
    findings.checked["commits"] += 1
