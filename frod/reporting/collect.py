"""From the files of a finished suite to its report: what `frod report` writes and `frod audit` writes once more."""

from __future__ import annotations

import hashlib
import os
from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod import claims, files
from frod.config import Workflow
from frod.config.command_line import snakemake
from frod.evaluation.examples import by_block
from frod.evaluation.loss import loss
from frod.evaluation.summary import KEY
from frod.provenance import artefacts, code, records, secrets
from frod.provenance.run_keys import RunKey, undefined
from frod.reporting import changes, page
from frod.reporting.naming import looks, method_order
from frod.reporting.report_data import Report

LAYOUT = 1
FILE = "report.json"


def build(
    workflow: Workflow, params: Mapping[str, Any], *, tasks: Path, summary: Path, out: Path, project: Path = Path()
) -> None:
    """Read the runs of a suite and write its report to `out`, a folder; all else is as in `contents`."""
    texts, listing = contents(workflow, params, tasks=tasks, summary=summary, project=project)
    page.write(texts, out)
    made_by = {"hash": code.code_hash("frod.cli.report"), **code.git_state()}
    files.write_json(out / FILE, listing | {"code": made_by})


def contents(
    workflow: Workflow,
    params: Mapping[str, Any],
    *,
    tasks: Path,
    summary: Path,
    since: Mapping[str, Any] | None = None,
    project: Path = Path(),
) -> tuple[dict[str, str], dict[str, Any]]:
    """Read the runs of a suite and make its report.

    Parameters
    ----------
    workflow : frod.config.Workflow
    params : mapping
        The contents of params.yaml that `workflow` was made of, overrides merged in.
    tasks : Path
        Folder of the prepared tasks.
    summary : Path
        Table of all runs. Paths are relative to the working directory, as in the workflow. Links to runs lead from the
        suite's own folder of reports, so that a copy anywhere is the same to the byte.
    since : mapping, optional
        What was changed after the first run, as a report.json has it. Default: what git says now.
    project : Path
        A folder of git's checkout.

    Returns
    -------
    texts : dict
        Text of each file but report.json, by its name in the report's folder.
    listing : dict
        What report.json says; its `code` is None here, and what writes it.

    Raises
    ------
    ValueError
        Names files of the suite that are missing.
    """
    paths = _paths(workflow, tasks)
    inputs = [summary, *(path for kind in paths.values() for path in kind.values())]
    if missing := [str(path) for path in inputs if not path.is_file()]:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        again = snakemake(workflow.params, "runs")
        raise ValueError(f"{', '.join(missing[:3])}{more}: not there; run `{again}`, or bring them with `dvc pull`")
    evidence = _evidence(workflow, summary, paths)
    suite = workflow.suite.model_dump() | {
        "name": workflow.name,
        "runs": list(paths["record"]),
        "skipped": workflow.skipped,
        "protocol": workflow.params.protocol,
        "methods": {name: method.model_dump() for name, method in workflow.methods.items()},
    }
    since = secrets.removed_from(since or changes.since_first_run(evidence.records, workflow, project))
    report = Report(
        summary=evidence.summary,
        histories=evidence.histories,
        records=evidence.records,
        suite=suite,
        claims=claims.assess(evidence),
        manifests=evidence.manifests,
        tuning=evidence.tuning,
        spectra=evidence.spectra,
        since=since,
        results=os.path.relpath(workflow.params.paths.results, Path(workflow.params.paths.reports) / workflow.name),
    )
    texts = page.contents(report)
    listing = {
        "layout": LAYOUT,
        "suite": workflow.name,
        "params": dict(params),
        "skipped": workflow.skipped,
        "tasks": str(tasks),
        "summary": str(summary),
        "inputs": {str(path): files.sha256(path) for path in inputs},
        "since_first_run": since,
        "code": None,
        "files": {name: hashlib.sha256(texts[name].encode()).hexdigest() for name in sorted(texts, key=Path)},
    }
    return texts, secrets.removed_from(listing)


def _paths(workflow: Workflow, tasks: Path) -> dict[str, dict[Any, Path]]:
    """The files of a suite, of each kind by what they are of."""
    results = Path(workflow.params.paths.results)
    runs = {RunKey(run.task, run.backbone, run.method, run.seed): results / run.key for run in workflow.runs}
    folders = {(run.task, run.backbone, run.method): results / run.folder for run in workflow.runs}
    tuned = {(run.task, run.backbone, run.method) for run in workflow.runs if run.rates is None}
    return {
        "manifest": {pair: tasks / pair[0] / pair[1] / "manifest.json" for pair in workflow.pairs()},
        "rates": {key: folder / "tune" / "rates.json" for key, folder in folders.items() if key in tuned},
        "spectrum": {key: folder / "spectrum.parquet" for key, folder in folders.items()},
        "sharpness": {key: folder / "sharpness.parquet" for key, folder in folders.items()},
        "record": {key: folder / "record.json" for key, folder in runs.items()},
        "history": {key: folder / "history.parquet" for key, folder in runs.items()},
        "predictions": {key: folder / "predictions.parquet" for key, folder in runs.items()},
    }


def _evidence(workflow: Workflow, summary: Path, paths: Mapping[str, Mapping[Any, Path]]) -> claims.Evidence:
    methods = {name: method.model_dump() for name, method in workflow.methods.items()}
    known = {key: records.read_record(path) for key, path in paths["record"].items()}
    for key, record in known.items():
        records.verify_outputs(paths["record"][key], record, ["history.parquet", "predictions.parquet"])
    table = artefacts.read_table(summary, columns=(*KEY, "undefined"))
    manifests = {pair: artefacts.read_manifest(path) for pair, path in paths["manifest"].items()}
    whole = set(known) - set(undefined(table))
    return claims.Evidence(
        suite=workflow.name,
        margin=workflow.suite.margin,
        summary=table,
        histories={key: artefacts.read_table(path, columns=["step", "loss"]) for key, path in paths["history"].items()},
        records=known,
        manifests=manifests,
        tuning={key: _tuning(path) for key, path in paths["rates"].items()},
        spectra=Spectra(paths["spectrum"]),
        sharpness={
            key: artefacts.read_table(path, columns=["seed", "step", "loss"])
            for key, path in paths["sharpness"].items()
        },
        on_test={key: _on_test(paths["predictions"][key], manifests[key[:2]]) for key in sorted(whole)},
        labels={name: look.label for name, look in looks(method_order(list(methods), list(methods)), methods).items()},
        kinds={name: method["kind"] for name, method in methods.items()},
    )


def _on_test(path: Path, manifest: Mapping[str, Any]) -> claims.OnTest:
    table = artefacts.read_table(path, columns=["split", "label", "prediction", "scores"])
    table = table[table["split"] == "test"]
    return claims.OnTest(loss=loss(table), blocks=by_block(table, manifest["metrics"][0]))


def _tuning(path: Path) -> dict[str, Any]:
    found = artefacts.read_json(path, keys=["trials", "index", "seeds"])
    trials = found["trials"] if isinstance(found["trials"], list) else []
    if not trials or not all(isinstance(one, dict) and {"rates", "validation"} <= one.keys() for one in trials):
        raise ValueError(f"{path}: trials: are not as `frod tune` writes them; {artefacts.REMEDY}")
    return found


class Spectra(UserDict):
    """Files of spectrum.parquet, read when one is asked for: the tables of a large suite take gigabytes together."""

    def __getitem__(self, key: tuple[str, str, str]) -> pd.DataFrame:
        return artefacts.read_table(self.data[key], columns=["seed", "layer", "singular_values"])
