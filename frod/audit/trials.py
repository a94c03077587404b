"""Trials of learning rates: those that the suite plans, on their own seed, without test; the best of them was taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frod.audit.findings import NOTHING, Findings
from frod.audit.runs import AGAIN, budget, looks
from frod.audit.study import Study, read_json
from frod.config import Trial
from frod.provenance.run_keys import stopped

CHOOSE = "run `snakemake`: rule tune makes it from the trials"


def check(study: Study, findings: Findings) -> None:
    """Hold all trials against the plan, and the choices against the trials."""
    for key in study.folders:
        if planned := study.workflow.trials_of(*key):
            _check_trials(study, study.tune(*key), planned, findings)


def _check_trials(study: Study, folder: Path, planned: Sequence[Trial], findings: Findings) -> None:
    paths = [folder / f"trial-{trial.index}.json" for trial in planned]
    tried = [read_json(path) for path in paths]
    for trial, path, content in zip(planned, paths, tried):
        if isinstance(content, dict):
            with findings.guard(path, "the trial"):
                _check_trial(study, trial, path, content, findings)
                findings.checked["trials"] += 1
        else:
            there = "something else" if path.is_file() else NOTHING
            findings.add(path, "a trial that the suite plans", "a JSON table", there, remedy=AGAIN)
    if all(isinstance(content, dict) for content in tried):
        _check_choice(study, folder / "rates.json", paths, tried, findings)


def _check_trial(study: Study, trial: Trial, path: Path, found: Mapping[str, Any], findings: Findings) -> None:
    run = trial.run
    expected = {
        "rates": run.rates.model_dump(exclude_none=True) if run.rates else None,
        "seed": run.seed,
        "spec": run.resolved(),
        "inputs": study.inputs(run, tuned=False),
        "code": study.usual_code,
        "metric": study.manifest(run.task, run.backbone)["metrics"][0],
        "budget": budget(study, run),
    }
    undefined = found.get("undefined")
    if undefined:
        expected |= {"validation": None}
    findings.equal(path, "", expected, {name: found.get(name) for name in expected}, remedy=AGAIN)
    findings.checked["hashes"] += len(expected["inputs"])
    watched = looks(expected["budget"])
    often = (found.get("evaluations") or {}).get("validation")
    early = stopped(undefined) and isinstance(often, int) and 0 <= often < watched
    evaluations = {"validation": often if early else watched}
    findings.equal(path, "evaluations", evaluations, found.get("evaluations"), remedy=AGAIN)


def _check_choice(study: Study, path: Path, paths: list[Path], tried: list[dict[str, Any]], findings: Findings) -> None:
    from frod.training.tune import choose

    if not path.is_file():
        findings.add(path, "the rates that were chosen", "there", NOTHING, remedy=CHOOSE)
        return
    try:
        chosen = choose(tried)
    except (ValueError, KeyError, TypeError) as error:
        findings.add(path, f"no rates can be chosen from the trials: {error}", remedy=AGAIN)
        return
    inputs = {str(one): study.digests.sha256(one) for one in paths}
    findings.checked["hashes"] += len(inputs)
    expected = chosen | {"inputs": inputs}
    findings.equal(path, "does not follow from the trials", expected, read_json(path), remedy=CHOOSE)
