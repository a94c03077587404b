# Parameters, paths and hashes that the rules share. Parameters are checked here, before any job starts.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from frod.commands.params import load_workflow
from frod.provenance.code import EXCLUDED, code_hash

try:
    WORKFLOW, BACKBONES, TASKS = load_workflow(config, Path(workflow.basedir))
except ValueError as error:
    raise WorkflowError(str(error)) from None

PATHS = WORKFLOW.params.paths
RESULTS = f"{PATHS.results}/{WORKFLOW.name}"
REPORTS = f"{PATHS.reports}/{WORKFLOW.name}"
RESOURCES = WORKFLOW.params.resources

# Snakemake sees the shell text and `params`, not the modules behind a command: their hash stands among the params.
# A registry's entry stands there by itself, so that a new entry does not make other tasks' runs stale.
NOT_CODE = (*EXCLUDED, "tasks/registry.yaml", "backbones/registry.yaml")
CODE = {
    name: code_hash(f"frod.commands.{name}", exclude=NOT_CODE)
    for name in ["backbone", "task", "basis", "train", "evaluate", "summarise", "report"]
}

# Where things are found, not what they are: these must not make a finished job stale, so the jobs inherit them.
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
if PATHS.mirror:
    os.environ.setdefault("FROD_MIRROR", str(Path(PATHS.mirror).expanduser().resolve()))
if WORKFLOW.params.tracking.uri:
    os.environ.setdefault("MLFLOW_TRACKING_URI", WORKFLOW.params.tracking.uri)
if not WORKFLOW.params.tracking.enabled:
    os.environ["FROD_TRACKING"] = "off"


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


def run_of(wildcards):
    return WORKFLOW.find(wildcards.task, wildcards.backbone, wildcards.method, wildcards.seed)


def run_files(name):
    return [f"{PATHS.results}/{run.key}/{name}" for run in WORKFLOW.runs]
