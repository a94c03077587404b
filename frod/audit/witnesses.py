"""Runs that are gone: what MLflow, dvc.lock's history, published reports and the suite's history tell of them.

A run that was made by the code of this study, and that the suite no longer plans, may have been left out for what came
out of it: a finding. One made by other code, one that was only planned, and a trial, which has not seen test, are what
normal work leaves: a note.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from frod.audit.findings import NOTHING, Findings
from frod.audit.study import Study, read_json
from frod.evaluation import formatting as show
from frod.provenance import history
from frod.provenance.dvc_lock import LOCK, cached, entries
from frod.provenance.git import git, git_text
from frod.reporting import changes

COMMITS = 50  # of each history, the last ones
RUN = re.compile(r"([^/]+/[^/]+/[^/]+/seed-\d+)/record\.json")
REMEDY = "plan it again and run `snakemake`; or give the smaller study a suite of another name"


class Witness(NamedTuple):
    """A run that was there once."""

    where: str
    """What tells of it."""
    key: str
    """TASK/BACKBONE/METHOD/seed-N, or .../tune/trial-N-seed-M."""
    code: str | None
    """Hash of the code that made it, where that is told."""
    figure: str = ""
    """What came out."""


def check(study: Study, findings: Findings) -> None:
    """Hold what git and DVC tell of runs against those that are planned."""
    if git("rev-parse", "HEAD") is None:
        return  # said already
    told(study, _published(study), findings)
    told(study, _locked(study, findings), findings)
    _check_plans(study, findings)


def told(study: Study, witnesses: Iterable[Witness], findings: Findings) -> None:
    """Name the runs that are not planned."""
    planned = names(study)
    others: dict[str, dict[str, None]] = {}
    for where, key, code, figure in witnesses:
        findings.checked["witnesses of runs"] += 1
        if key in planned:
            continue
        if code and code == study.usual_code and "/tune/" not in key:
            what = f"the suite does not plan it, and {where} tells that this very code made it"
            findings.add(study.results / key, what, NOTHING, f"a run{figure and f' with {figure}'}", remedy=REMEDY)
        else:
            others.setdefault(where, {})[f"{key}{figure and f' ({figure})'}"] = None
    findings.notes += [
        f"{where} tells of runs that the suite does not plan: {show.listed(list(keys))}"
        for where, keys in others.items()
    ]


def names(study: Study) -> set[str]:
    """Of all trainings that are planned: runs, and the trials of their rates."""
    trials = {
        f"{trial.run.task}/{trial.run.backbone}/{trial.run.method}/tune/{trial.name}" for trial in study.workflow.trials
    }
    return {key.path for key in study.runs} | trials


def _published(study: Study) -> Iterator[Witness]:
    """Runs of the reports that git has had, by the tables in them."""
    path = Path(study.workflow.params.paths.reports) / "published" / study.workflow.name / "results.csv"
    for commit in history.touching(path.as_posix(), most=COMMITS):
        table = git_text("cat-file", "blob", f"{commit}:./{path.as_posix()}") or ""
        for row in csv.DictReader(io.StringIO(table)):
            key = "/".join(str(row.get(name)) for name in ("task", "backbone", "method"))
            figure = f"{row.get('primary')} {row.get('test')}"
            yield Witness(
                f"{path} of commit {commit[:12]}", f"{key}/seed-{row.get('seed')}", row.get("code_hash"), figure
            )


def _locked(study: Study, findings: Findings) -> Iterator[Witness]:
    """Runs of the folders that dvc.lock has named, where DVC's cache has their listings."""
    for commit in history.touching(LOCK.as_posix(), most=COMMITS):
        try:
            listed = entries(git_text("cat-file", "blob", f"{commit}:./{LOCK}") or "")
        except ValueError:
            findings.unchecked[f"{LOCK} of commit {commit[:12]}"] = "it is not what DVC writes"
            continue
        for folder, md5 in listed.items():
            listing = read_json(cached(md5))
            for entry in listing if isinstance(listing, list) else ():
                path = folder / entry["relpath"]
                if not path.is_relative_to(study.results):
                    continue
                if found := RUN.fullmatch(path.relative_to(study.results).as_posix()):
                    record = read_json(cached(entry["md5"]))
                    code = record["code"]["hash"] if record else None
                    yield Witness(f"{LOCK} of commit {commit[:12]}", found[1], code)


def _check_plans(study: Study, findings: Findings) -> None:
    """Runs that an earlier commit of the suite planned; whether they were made is another matter."""
    now, unread = {run.key for run in study.workflow.runs}, 0
    then: dict[str, str] = {}
    suite, paths = changes.suite_file(study.workflow), changes.sources(study.workflow)
    with tempfile.TemporaryDirectory(prefix="frod-audit-") as folder:
        for commit in history.touching(suite, most=COMMITS):
            tree = history.unpacked(commit, paths, Path(folder))
            try:
                workflow = tree and changes.as_of(tree, study.workflow)
            except ValueError:  # written for another version
                unread += 1
                continue
            for run in workflow.runs if workflow else ():
                if run.key not in now:
                    then.setdefault(run.key.removeprefix(f"{run.suite}/"), commit)
    if unread:
        findings.unchecked[f"{unread} earlier commits of the suite"] = "this version cannot read them"
    if then:
        last = next(iter(then.values()))[:12]
        findings.notes.append(
            f"{suite} has planned runs that it does not plan now, until commit {last}: {show.listed(list(then))}"
        )
