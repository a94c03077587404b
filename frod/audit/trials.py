"""Trials of learning rates: those that the suite plans, on their own seed, without test; the best of them was taken.

A trial's figure is computed again from its predictions, and what it left is held against the plan as a run's is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from frod.audit import predictions, runs, texts, trainings
from frod.audit.costs import AHEAD
from frod.audit.findings import NOTHING, Findings
from frod.audit.study import Study, read_json
from frod.audit.traces import Traces
from frod.evaluation.metrics import why_undefined

AGAIN = "remove the trial's files and run `snakemake`"
CHOOSE = "run `snakemake`: rule tune makes it from the trials"


def check(study: Study, findings: Findings, *, each: Callable[..., Any] = map) -> None:
    """Hold all trials against the plan and their own files, and the choices against the trials."""
    tried = [Traces.of_trial(study, trial) for trial in study.workflow.trials]
    manifests = [read_json(study.tasks / left.run.task / left.run.backbone / "manifest.json") for left in tried]
    computed = each(predictions.compute_validation, [left.predictions for left in tried], manifests)
    groups: dict[Path, list[Traces]] = {}
    for left, again in zip(tried, computed):
        groups.setdefault(left.path.parent, []).append(left)
        if left.record:
            with findings.guard(left.path, "the trial"):
                _check_trial(study, left, again, findings)
                findings.checked["trials"] += 1
            trainings.check(study, left, again, findings)
        elif left.path.is_file():  # else it is named as missing
            findings.add(left.path, "a trial that the suite plans", "a JSON table", "something else", remedy=AGAIN)
    for folder, of_one in groups.items():
        if all(left.record for left in of_one):
            _check_choice(study, folder / "rates.json", of_one, findings)
            with findings.guard(folder, "when its trials ended"):
                _check_times(study, of_one, findings)


def _check_trial(study: Study, left: Traces, again: Mapping[str, Any] | str, findings: Findings) -> None:
    run, found = left.run, left.record
    manifest = study.manifest(run.task, run.backbone)
    outputs = {str(path): study.digests.sha256(path) or NOTHING for path in (left.history, left.predictions)}
    expected = {
        "rates": left.rates,
        "seed": run.seed,
        "spec": run.resolved(),
        "inputs": study.inputs(run, tuned=False),
        "code": study.usual_code,
        "metric": manifest["metrics"][0],
        "budget": runs.budget(study, run),
        "evaluations": runs.evaluations(study, left),
    }
    for name, value in expected.items():
        findings.equal(left.path, name, value, found.get(name), remedy=AGAIN)
    findings.equal(left.path, "outputs, by the files", outputs, found.get("outputs"), remedy=AGAIN)
    findings.checked["hashes"] += len(expected["inputs"]) + len(outputs)
    _check_figure(left, f"validation_{expected['metric']}", again, findings)


def _check_figure(left: Traces, name: str, again: Mapping[str, Any] | str, findings: Findings) -> None:
    """The figure that the choice is made by is that of the predictions; a trial that diverged has none."""
    value = loss = None
    if left.undefined is None:
        if isinstance(again, str):
            if left.predictions.is_file():
                findings.add(left.predictions, f"{name} cannot be computed: {again}", remedy=AGAIN)
            return
        value, loss = again["metrics"]["validation"][name.removeprefix("validation_")], again["loss"]
    undefined = left.undefined or why_undefined(value, name)
    expected = {"validation": value, "validation_loss": loss, "undefined": undefined}
    found = {of: left.record.get(of) for of in expected}
    what = f"does not follow from {left.predictions.name}"
    findings.equal(left.path, what, expected, found, remedy=AGAIN)


def _check_choice(study: Study, path: Path, tried: Sequence[Traces], findings: Findings) -> None:
    from frod.training.tune import choose

    run = tried[0].run
    if not path.is_file():
        findings.add(path, "the rates that were chosen", "there", NOTHING, remedy=CHOOSE)
        return
    try:
        box = next(iter(study.workflow.trials_of(run.task, run.backbone, run.method).values())).box
        chosen = choose([left.record for left in tried], box)
    except (ValueError, KeyError, TypeError) as error:
        findings.add(path, f"no rates can be chosen from the trials: {error}", remedy=AGAIN)
        return
    texts.check(path, "tune", findings, remedy=CHOOSE)
    inputs = {str(left.path): study.digests.sha256(left.path) for left in tried}
    findings.checked["hashes"] += len(inputs)
    expected = chosen | {"inputs": inputs}
    findings.equal(path, "does not follow from the trials", expected, read_json(path), remedy=CHOOSE)


def _check_times(study: Study, tried: Sequence[Traces], findings: Findings) -> None:
    """The first run on the chosen rates began when all trials had ended: what is tried later has seen test.

    The machines' clocks may differ: less than an hour is a note.
    """
    run, ended = tried[0].run, {left.path: datetime.fromisoformat(left.record["finished"]) for left in tried}
    began = {
        study.folder(key): datetime.fromisoformat(record["started"])
        for key, record in study.records.items()
        if (key.task, key.backbone, key.method) == (run.task, run.backbone, run.method)
    }
    if not began:
        return
    first, last = min(began, key=began.__getitem__), max(ended, key=ended.__getitem__)
    what, path = f"started, by {last}, which ended later", first / "record.json"
    if began[first] < ended[last] - AHEAD:
        findings.add(path, what, f"at least {ended[last]}", str(began[first]), remedy=runs.AGAIN)
    elif began[first] < ended[last]:
        findings.note(f"{path}: {what}: {(ended[last] - began[first]).total_seconds():.0f} seconds, by their clocks")
