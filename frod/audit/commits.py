"""Code and parameters: records and report name a commit, and what they say of the code and the plan is what it has."""

from __future__ import annotations

import io
import re
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.config import Workflow, load
from frod.provenance import code
from frod.provenance.git import git
from frod.reporting import collect

RUNS, REPORT = "frod.cli.train", "frod.cli.report"
# Which suite, where things lie, how jobs are run: chosen per call. What the suite plans is looked at by itself.
PER_CALL = ("suite", "protocol", "paths", "tracking", "resources")
SOURCES = ("frod", "params.yaml", "workflow/suites")
AGAIN = "run `snakemake`"
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
        for commit, keys in _by(study, "git_commit").items():
            paths = [study.folder(key) / "record.json" for key in keys]
            tree = _tree(Path(folder), commit) if commit else None
            if tree is None:
                missing[str(commit)] = len(paths)
                continue
            findings.checked["commits"] += 1
            for key, path in zip(keys, paths):
                made_by = study.records[key]["code"]
                with findings.guard(path, "its code at its commit"):
                    at = _code_hash(tree, RUNS)
                    findings.equal(path, f"code.hash, by commit {commit[:12]}", at, made_by["hash"], remedy=AGAIN)
                findings.equal(path, "code.git_dirty", False, made_by["git_dirty"], remedy=f"commit, then {AGAIN}")
            with findings.guard(paths[0], f"the plan at commit {commit[:12]}"):
                _check_plan(study, tree, commit, findings)
        for commit, count in missing.items():
            reason = f"this clone has no commit {commit[:12]}; `git fetch --unshallow` may bring it"
            if commit in ("None", ""):
                reason = "they were made outside of git"
            findings.unchecked[f"code of {count} runs against git"] = reason
        _check_report(study, Path(folder), findings)


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
    per_call = {name: study.written["params"][name] for name in PER_CALL if name in study.written["params"]}
    if not (tree / "workflow" / "suites" / f"{suite}.yaml").is_file() and not (tree / suite).is_file():
        findings.unchecked[f"the plan at commit {commit[:12]}"] = f"git does not have the suite's file ({suite})"
        return
    then = load(_params(tree) | per_call, tree)
    planned, audited = _plan(then, study.workflow.skipped), _plan(study.workflow, [])
    where = "params.yaml" if suite.endswith((".yaml", ".yml")) else f"params.yaml, workflow/suites/{suite}.yaml"
    findings.equal(
        where, f"plans other runs than commit {commit[:12]}", planned, audited, remedy=f"commit, then {AGAIN}"
    )
    findings.checked["runs planned by their commit"] += len(planned)


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
