"""The walk: from the page back to the raw data."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from frod.audit import (
    commits,
    costs,
    counts,
    data,
    divergence,
    dvc_lock,
    environments,
    models,
    perturbed,
    predictions,
    presence,
    report_files,
    run_table,
    runs,
    tracked,
    trainings,
    trials,
    witnesses,
)
from frod.audit.digests import Digests
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.audit.traces import Traces
from frod.config.command_line import snakemake
from frod.provenance import history
from frod.provenance.git import git_text

Progress = Callable[[str, int, int], None]
PARALLEL_FROM = 64  # runs; each further process takes seconds to import what it needs
WORKERS = min(os.cpu_count() or 1, 8)


def audit(
    report: Path, *, workers: int = 1, progress: Progress = lambda what, done, all: None
) -> tuple[Study, Findings]:
    """Hold a report against the files it was made from, and those against each other, down to the raw data.

    Parameters
    ----------
    report : Path
        reports/SUITE, relative to the working directory, which is the folder of params.yaml.
    workers : int
        Processes besides this one, where there are many runs; one, for the models, where there are few.
    progress : callable
        Called with what is being looked at, how many are done, and of how many.

    Returns
    -------
    study : Study
    findings : Findings

    Raises
    ------
    ValueError
        There is no such report, or its runs are not here at all.
    """
    history.take_as_hashed()
    study = Study.open(report)
    if not study.results.is_dir():
        raise ValueError(f"{study.results} is not there: the report's runs are needed; `dvc pull` may bring them")
    if endless := study.endless():
        findings = Findings()
        for path in endless:
            findings.add(path, "is neither a file nor a folder, and cannot be read to an end", remedy="remove it")
        findings.unchecked["all else"] = "what has no end stops an audit before it reads"
        return study, findings
    study.digests = Digests(md5=dvc_lock.LOCK.is_file())
    ask = partial(models.ask, study.report)
    if workers == 1:
        return study, _walk(study, map, ask, progress)
    many = len(study.runs) >= PARALLEL_FROM
    begin, spawn = models.only_answer, get_context("spawn")
    with ProcessPoolExecutor(workers if many else 1, mp_context=spawn, initializer=begin) as pool:
        asked = pool.submit(ask)
        return study, _walk(study, pool.map if many else map, asked.result, progress)


def _walk(study: Study, each: Callable[..., Any], asked: Callable[[], Any], progress: Progress) -> Findings:
    """All steps in their order; `each` maps over runs, `asked` gives what `models.ask` has found."""
    findings = Findings()
    study.digests.read(_files(study), lambda done, all: progress("hashes", done, all))
    steps: dict[str, Callable[[Study, Findings], None]] = {
        "the report, written once more": report_files.check_again,
        "the report": report_files.check,
        "the table of all runs": run_table.check,
        "which files there are": presence.check,
        "data and weights": data.check,
        "git": commits.check,
        "runs that are gone": witnesses.check,
        "MLflow": tracked.check,
        "DVC": dvc_lock.check,
        "runs": partial(_check_runs, each=each, progress=progress),
        "what compared runs have in common": runs.check_comparable,
        "trials": partial(trials.check, each=each),
        "losses under perturbation": perturbed.check,
        "what ran them": environments.check_all,
        "the models": partial(_take, asked),  # late, as they take the longest
        "copies": trainings.check_copies,
        "what runs trained": _check_trained,
    }
    for done, (what, check) in enumerate(steps.items(), start=1):
        with findings.guard(study.report, what):
            check(study, findings)
        progress("steps", done, len(steps))
    findings.unchecked[costs.UNCHECKED] = costs.WHY
    findings.checked["files"] = len(study.digests)
    findings.complete(partial(snakemake, study.workflow.params))
    return findings


def _take(asked: Callable[[], Any], study: Study, findings: Findings) -> None:
    trained, more = asked()
    study.trained.update(trained)
    findings.merge(more)


def _files(study: Study) -> Iterator[Path]:
    """All that is hashed, so that it is read once and side by side."""
    yield from (study.report / name for name in study.written["files"])
    yield from map(Path, study.written["inputs"])
    yield from presence.planned_files(study.workflow, study.results)
    for manifest, path, _ in data.files(study):
        yield from (manifest, path)


def _check_runs(study: Study, findings: Findings, *, each: Callable[..., Any], progress: Progress) -> None:
    manifests: list[dict[str, Any]] = []
    for key in study.runs:
        manifests.append({})
        with findings.guard(study.tasks / key.task / key.backbone / "manifest.json", "the prepared task"):
            manifests[-1] = study.manifest(key.task, key.backbone)
    computed = each(predictions.compute_metrics, map(study.folder, study.runs), manifests)
    for done, (key, again) in enumerate(zip(study.runs, computed), start=1):
        with findings.guard(study.folder(key), "the run"):
            runs.check_record(study, key, findings)
            predictions.check_metrics(study, key, again, findings)
            trainings.check(study, Traces.of_run(study, key), again, findings)
        progress("runs", done, len(study.runs))


def _check_trained(study: Study, findings: Findings) -> None:
    for key in study.runs:
        with findings.guard(study.folder(key), "the run"):
            divergence.check_adapter(study, key, findings)
            counts.check_counts(study, key, findings)


def facts(study: Study, findings: Findings, started: float) -> dict[str, Any]:
    """What audit.json holds."""
    return {
        "layout": 1,
        "report": str(study.report),
        "suite": study.workflow.name,
        "git_commit": git_text("rev-parse", "HEAD"),
        "seconds": round(time.perf_counter() - started, 2),
        **findings.as_json(),
    }
