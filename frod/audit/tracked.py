"""MLflow: each run of the suite, each choice of rates and its trials stand there once, and say what the files say."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from frod.audit import witnesses
from frod.audit.findings import NOTHING, Findings, difference
from frod.audit.mlflow_store import TIMES, Logged, read
from frod.audit.study import Study
from frod.evaluation.formatting import listed, number
from frod.files import sha256
from frod.provenance import mlflow_entries, tracking
from frod.provenance.mlflow_entries import Entry
from frod.reporting.collect import FILE

NAME = "MLflow"
NOTE = "mlflow.note.content"
UNPLANNED = "plan it again; deleted there it stays a note, and a run by this very code a finding"
RUN = re.compile(r"[^/]+/[^/]+/[^/]+/(seed-\d+|tune/trial-\d+-seed-\d+)")


def check(study: Study, findings: Findings) -> None:
    """Compare the store with the files; a store that cannot be had is said, and no finding."""
    settings = study.workflow.params.tracking
    if os.environ.get("FROD_TRACKING") == "off" or not settings.enabled:
        findings.unchecked[NAME] = "tracking is off"
        return
    uri = os.environ.get("MLFLOW_TRACKING_URI") or settings.uri or tracking.DEFAULT_URI
    suite = study.workflow.name
    try:
        logged = read(uri, suite)
    except ValueError as error:
        findings.unchecked[NAME] = str(error)
        return
    remedy = f"run `frod track {study.results}`"
    planned: dict[str, tuple[Path, Callable[[Path], list[Entry]]]] = {
        f"{suite}/{key.path}": (study.folder(key), lambda folder: [mlflow_entries.of_run(folder)]) for key in study.runs
    }
    for key in study.folders:
        if study.workflow.trials_of(*key):
            planned[f"{suite}/{'/'.join(key)}/tune"] = (study.tune(*key), mlflow_entries.of_tuning)
    _check_deleted(study, suite, logged, findings)
    known = {f"{suite}/report", *planned, *(f"{suite}/{name}" for name in witnesses.names(study))}
    by_name: dict[str, list[Logged]] = {}
    for run in (one for one in logged if not one.deleted):
        name = run.tags.get("frod.run", NOTHING)
        by_name.setdefault(name, []).append(run)
        if name not in known:
            findings.add(f"{NAME} run {run.id}", "tag frod.run", "a run that the suite plans", name, remedy=UNPLANNED)
    if study.report == Path(study.workflow.params.paths.reports) / suite:  # no copy, which may be an earlier one
        listing = study.report / FILE
        for run in by_name.get(f"{suite}/report", []):
            name, found = f"{NAME} {suite}/report (run {run.id})", run.tags.get("frod.record", NOTHING)
            findings.equal(name, f"tag frod.record, by {listing}", sha256(listing), found, remedy=remedy)
            findings.equal(name, "name and status", _shown("report"), _shown_of(run), remedy=remedy)
    noted = [run.tags.get("frod.run", run.id) for run in logged if NOTE in run.tags]
    if noted:
        findings.notes.append(f"{NAME} has notes, which frod does not write, on {listed(noted)}; nothing holds them")
    for name, (folder, read_entries) in planned.items():
        with findings.guard(f"{NAME} {name}", "the run"):
            try:
                entries = read_entries(folder)
            except FileNotFoundError:  # named as such
                continue
            for entry in entries:
                _compare(entry, by_name.get(entry.key, []), folder, findings, remedy)


def _check_deleted(study: Study, suite: str, logged: list[Logged], findings: Findings) -> None:
    """Trainings that are deleted there: those of runs that are not planned, and those that were made once more."""
    trained: dict[str, dict[str, Logged]] = {}
    for run in logged:
        key = run.tags.get("frod.run", NOTHING).removeprefix(f"{suite}/")
        if RUN.fullmatch(key):  # by its record: one that is logged again is the same training
            trained.setdefault(key, {})[run.tags.get("frod.record", run.id)] = run
    gone = [(key, run) for key, runs in trained.items() for run in runs.values() if run.deleted]
    told = [witnesses.Witness(NAME, key, run.tags.get("frod.code"), _figure(run)) for key, run in gone]
    witnesses.told(study, told, findings)
    again = [f"{key} ({', '.join(map(_figure, runs.values()))})" for key, runs in trained.items() if len(runs) > 1]
    if again:
        findings.notes.append(f"{NAME} has {number(len(again), 'training')} made more than once: {listed(again)}")


def _shown(name: str, *, failed: bool = False) -> dict[str, str | None]:
    """What MLflow's interface shows of a run first: its name, which the store has twice, and how it ended."""
    return {"name": name, "mlflow.runName": name, "status": "FAILED" if failed else "FINISHED"}


def _shown_of(run: Logged) -> dict[str, str | None]:
    return {"name": run.name, "mlflow.runName": run.tags.get("mlflow.runName"), "status": run.status}


def _figure(run: Logged) -> str:
    """The first figure of a training."""
    found = [f"{name} {run.metrics[name]:.4g}" for name in sorted(run.metrics) if name.startswith(("test_", "valid"))]
    return (found or ["no figure"])[0] + (", deleted" if run.deleted else "")


def _compare(entry: Entry, there: list[Logged], folder: Path, findings: Findings, remedy: str) -> None:
    if len(there) != 1:
        findings.add(f"{NAME} {entry.key}", "runs with this tag frod.run", 1, len(there), remedy=remedy)
    for run in there:
        tags = {"frod.undefined": NOTHING, "mlflow.source.git.commit": NOTHING} | entry.tags
        parts: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
            "tag": (tags, {tag: run.tags.get(tag, NOTHING) for tag in tags}),
            "param": (entry.params, run.params),
            "metric": (entry.last, run.metrics),
            "shown": (_shown(entry.name, failed=entry.failed), _shown_of(run)),
            "time": (dict(zip(TIMES, (entry.began, entry.ended))), run.times),
        }
        for part, (expected, found) in parts.items():
            if differing := difference(expected, found):
                where, one, other = differing
                findings.add(
                    f"{NAME} {entry.key} (run {run.id})", f"{part} {where}, by {folder}", one, other, remedy=remedy
                )
            findings.checked["MLflow values"] += len(expected)
        findings.checked["MLflow runs"] += 1
