# Parameters, paths and hashes that the rules share. Parameters are checked here, before any job starts.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from frod.commands.params import load_workflow
from frod.provenance import state
from frod.provenance.code import EXCLUDED, code_hash

try:
    WORKFLOW, BACKBONES, TASKS = load_workflow(config, Path(workflow.basedir))
except ValueError as error:
    raise WorkflowError(str(error)) from None

PATHS = WORKFLOW.params.paths
RESULTS = f"{PATHS.results}/{WORKFLOW.name}"
REPORTS = f"{PATHS.reports}/{WORKFLOW.name}"
RESOURCES = WORKFLOW.params.resources

# Files that DVC has brought are judged by content, not by their times; see frod/provenance/state.py.
state.keep(workflow, suite=WORKFLOW.name, data=PATHS.data, results=PATHS.results, reports=PATHS.reports)

# Snakemake sees the shell text and `params`, not the modules behind a command: their hash stands among the params.
# A registry's entry stands there by itself, so that a new entry does not make other tasks' runs stale.
NOT_CODE = (*EXCLUDED, "tasks/registry.yaml", "backbones/registry.yaml")
CODE = {
    name: code_hash(f"frod.commands.{name}", exclude=NOT_CODE)
    for name in [
        "backbone",
        "task",
        "basis_part",
        "basis",
        "train",
        "evaluate",
        "summarise",
        "report",
    ]
}

# Where things are found and how often they are saved: no result depends on these, so they must not make a finished
# job stale. The jobs inherit them; what the user's environment says comes first.
INHERITED = {
    "FROD_MIRROR": PATHS.mirror and str(Path(PATHS.mirror).expanduser().resolve()),
    "MLFLOW_TRACKING_URI": WORKFLOW.params.tracking.uri,
    "FROD_TRACKING": None if WORKFLOW.params.tracking.enabled else "off",
    "FROD_CHECKPOINT_SECONDS": str(RESOURCES.checkpoint_seconds),
}
for name, value in INHERITED.items():
    if value:
        os.environ.setdefault(name, value)
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


wildcard_constraints:
    backbone="|".join(WORKFLOW.backbones()),
    task="|".join(dict.fromkeys(task for task, _ in WORKFLOW.pairs())),
    method="|".join(WORKFLOW.suite.methods),
    seed="[0-9]+",


def model_file(backbone):
    return f"{PATHS.data}/models/{backbone}/source.json"


def task_file(task, backbone):
    return f"{PATHS.data}/tasks/{task}/{backbone}/manifest.json"


def basis_file(backbone):
    return f"{PATHS.data}/bases/{backbone}/{WORKFLOW.basis_of(backbone)}/manifest.json"


def parts_of_basis(backbone, basis):
    parts = WORKFLOW.params.basis.parts
    return [f"{PATHS.data}/bases/{backbone}/{basis}.parts/{i}" for i in range(parts)] if parts > 1 else []


def spec_of_basis(backbone):
    settings = WORKFLOW.params.basis.model_dump(include={"ridge", "dtype"})
    return json.dumps(settings | {"targets": WORKFLOW.targets_of(backbone)})


def run_of(wildcards):
    return WORKFLOW.find(wildcards.task, wildcards.backbone, wildcards.method, wildcards.seed)


def basis_of_run(wildcards):
    return basis_file(wildcards.backbone) if run_of(wildcards).tuner.kind == "frod" else []


def run_files(name):
    return [f"{PATHS.results}/{run.key}/{name}" for run in WORKFLOW.runs]


def spec_of_task(task):
    return {"name": task, "task": TASKS[task].model_dump(mode="json", by_alias=True)}


def spec_of_backbone(backbone):
    spec = BACKBONES[backbone]
    entries = {
        "name": backbone,
        "backbone": spec.model_dump(mode="json", by_alias=True),
    }
    if spec.pretrained_on:
        entries |= {
            "task": spec_of_task(spec.pretrained_on)["task"],
            "seed": WORKFLOW.params.split.seed,
        }
    return entries
