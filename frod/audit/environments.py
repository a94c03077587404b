"""What ran the trainings: settings that are recorded twice agree, and what differs from plan or lock is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from frod import numerics
from frod.audit.findings import Findings
from frod.audit.runs import AGAIN
from frod.audit.study import Study
from frod.audit.traces import Traces
from frod.provenance.git import git_text

LOCK = "requirements.lock"
MPS = "Apple GPU (mps)"
PINNED = re.compile(r"(?m)^([A-Za-z0-9_.-]+)==([^\s;+]+)")


def check(study: Study, left: Traces, findings: Findings) -> None:
    """Hold the numerics of a training against the plan, and its threads against those of its processes."""
    if not left.record:
        return
    with findings.guard(left.path, "its environment"):
        environment, processes = left.record["environment"], left.record["processes"]
        setting, planned = numerics.setting_of(environment), study.workflow.params.numerics
        findings.equal(left.path, "environment.numerics", planned, setting, remedy=AGAIN)
        threads = processes["threads"]
        findings.equal(left.path, "environment.threads, by processes", threads, environment["threads"], remedy=AGAIN)
        if not left.is_trial:
            # Of Apple's GPUs torch does not tell a peak.
            gpu = environment["accelerator"] not in (None, MPS)
            peak = left.resources["peak_gpu_bytes"]
            if gpu != (peak is not None):
                what = f"resources.peak_gpu_bytes, with accelerator {environment['accelerator']}"
                findings.add(left.path, what, "a number" if gpu else None, peak, remedy=AGAIN)


def check_all(study: Study, findings: Findings) -> None:
    """Tell which runs had other threads than is planned, or other packages than their commit's lock has."""
    told: Counter[str] = Counter()
    locks: dict[Any, dict[str, list[str]]] = {}
    for key, record in study.records.items():
        path = study.folder(key) / "record.json"
        with findings.guard(path, "its environment"):
            planned = study.workflow.resources[study.runs[key].folder]
            threads, count = record["environment"]["threads"], record["processes"]["count"]
            wanted = max(1, max(planned.threads, planned.processes) // count)
            if threads != wanted:
                told[f"had {threads} threads, where params.yaml and the suite give {wanted}"] += 1
            commit = record["code"]["git_commit"]
            if commit not in locks:
                locks[commit] = _lock(commit)
            others = _others(record["environment"]["packages"], locks[commit])
            if others:
                told[f"had other packages than {LOCK} of their commit {str(commit)[:12]}: {others}"] += 1
    findings.notes += [f"{count} run{'s' if count > 1 else ''} {what}" for what, count in told.items()]


def _lock(commit: Any) -> dict[str, list[str]]:
    """Versions by package, of each Python, as a commit's lock has them; none where git does not have it."""
    known = isinstance(commit, str) and re.fullmatch(r"[0-9a-f]{40,64}", commit)
    found: dict[str, list[str]] = {}
    for name, version in PINNED.findall((known and git_text("show", f"{commit}:./{LOCK}")) or ""):
        found.setdefault(name, []).append(version)
    return found


def _others(packages: Mapping[str, str], lock: Mapping[str, list[str]]) -> str:
    versions = {name: version.partition("+")[0] for name, version in packages.items()}  # 2.9.0+cpu is 2.9.0
    differing = [name for name, version in versions.items() if version not in lock.get(name, [version])]
    return ", ".join(f"{name} {packages[name]} (lock: {', '.join(lock[name])})" for name in differing)
