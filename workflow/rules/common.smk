# Parameters, paths and hashes that the rules share. Parameters are checked here, before any job starts.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from frod import numerics
from frod.commands.params import load_workflow, spec_of_backbone
from frod.provenance import own_files, sources, state
from frod.provenance.code import code_hash
from frod.provenance.hashes import json_sha256

try:
    WORKFLOW, BACKBONES, TASKS = load_workflow(config, Path(workflow.basedir))
except ValueError as error:
    raise WorkflowError(str(error)) from None

PATHS = WORKFLOW.params.paths
RESULTS = f"{PATHS.results}/{WORKFLOW.name}"
REPORTS = f"{PATHS.reports}/{WORKFLOW.name}"
RESOURCES = WORKFLOW.params.resources
CLUSTER = WORKFLOW.params.cluster
PARTITION, ACCOUNT = CLUSTER.partition or "", CLUSTER.account or ""
PROTOCOL = WORKFLOW.params.protocol
# The protocols split a task in other ways; their arrays lie apart.
TASK_DATA = f"{PATHS.data}/tasks"
if PROTOCOL != "audited":
    TASK_DATA = f"{PATHS.data}/tasks/{PROTOCOL}"
if WORKFLOW.skipped:
    print(
        f"skipped, not in the mirror: {', '.join(WORKFLOW.skipped)}",
        file=sys.stderr,
    )


# Jobs that take seconds do not wait in a queue for themselves: under a profile that submits jobs they run where Snakemake
# does.
localrules:
    tune,
    evaluate,
    summarise,
    report,


# Files that DVC has brought are judged by content, not by their times; see frod/provenance/state.py.
state.keep(
    workflow, suite=WORKFLOW.name.partition("/")[0], data=PATHS.data, results=PATHS.results, reports=PATHS.reports
)

# Snakemake sees the shell text and `params`, not the modules behind a command: their hash stands among the params.
# Only modules that have changed are parsed again.
PARSED = Path(".snakemake/frod-code.json")
sources.recall(PARSED)
CODE = {
    name: code_hash(f"frod.commands.{name}")
    for name in [
        "backbone",
        "task",
        "basis_part",
        "basis",
        "trial",
        "tune",
        "train",
        "evaluate",
        "spectrum",
        "summarise",
        "report",
    ]
}
sources.keep(PARSED)

# The same digits on every processor, or not. Results depend on it, so that it also stands among the params.
NUMERICS = os.environ[numerics.VARIABLE] = WORKFLOW.params.numerics

# Where things are found and how often they are saved: no result depends on these, so they must not make a finished
# job stale. The jobs inherit them; what the user's environment says comes first.
INHERITED = {
    "FROD_MIRROR": PATHS.mirror and str(Path(PATHS.mirror).expanduser().resolve()),
    "MLFLOW_TRACKING_URI": WORKFLOW.params.tracking.uri,
    "FROD_TRACKING": None if WORKFLOW.params.tracking.enabled else "off",
    "FROD_CHECKPOINT_SECONDS": str(RESOURCES.checkpoint_seconds),
    "FROD_GPU_SLOTS": str(WORKFLOW.params.cluster.gpu_slots),
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
    return f"{TASK_DATA}/{task}/{backbone}/manifest.json"


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


def resources_of(wildcards):
    folder = f"{WORKFLOW.name}/{wildcards.task}/{wildcards.backbone}/{wildcards.method}"
    return WORKFLOW.resources[folder]


def gpus_of(wildcards):
    return resources_of(wildcards).gpu


def gres_of(wildcards):
    """GPUs as SLURM calls them; its profile asks by this name and not by `gpu`."""
    gpus = gpus_of(wildcards)
    return f"{CLUSTER.gres}:{gpus}" if gpus else ""


def partition_of(wildcards):
    return CLUSTER.gpu_partition or "" if gpus_of(wildcards) else PARTITION


SLOTS = {}


def shared_job(rule, wildcards):
    """Name of the jobs of which cluster.gpu_slots run side by side in one SLURM job, on one GPU; None: alone.

    They are trainings of one task and method: of one size, ready together, and no other method waits for them.
    """
    if gpus_of(wildcards) != 1 or CLUSTER.gpu_slots == 1:
        return None
    name = f"{rule}-{wildcards.task}-{wildcards.backbone}-{wildcards.method}"
    # So many of a group make one submission: an option of the command line, which Snakemake sets after it reads the rules.
    SLOTS[name] = CLUSTER.gpu_slots
    workflow.group_settings.group_components = SLOTS
    return name


def resources_of_basis(wildcards):
    """What a training on the backbone may use, which is more than the extraction needs."""
    return next(WORKFLOW.resources[run.folder] for run in WORKFLOW.runs if run.backbone == wildcards.backbone)


def urgency(wildcards):
    """What the longest trainings wait for starts first: the runtime of those on the backbone, in minutes.

    What nothing but the report waits for has no priority, and fills the processors that are left.
    """
    return max(WORKFLOW.resources[run.folder].runtime for run in WORKFLOW.runs if run.backbone == wildcards.backbone)


def trials_of(wildcards):
    return WORKFLOW.trials_of(wildcards.task, wildcards.backbone, wildcards.method)


def files_of_trials(wildcards):
    return [f"{PATHS.results}/{one.run.folder}/tune/trial-{one.index}.json" for one in trials_of(wildcards)]


def basis_of_run(wildcards):
    method = WORKFLOW.methods[wildcards.method]
    return basis_file(wildcards.backbone) if method.kind == "frod" else []


def rates_of_run(wildcards):
    return f"{PATHS.results}/{run_of(wildcards).folder}/tune/rates.json" if trials_of(wildcards) else []


def of_all_seeds(file):
    return expand(file, seed=WORKFLOW.suite.seeds, allow_missing=True)


def files_of_rates():
    tuned = dict.fromkeys(run.folder for run in WORKFLOW.runs if run.rates is None)
    return [f"{PATHS.results}/{folder}/tune/rates.json" for folder in tuned]


def files_of_spectra():
    return [
        f"{PATHS.results}/{folder}/spectrum.parquet" for folder in dict.fromkeys(run.folder for run in WORKFLOW.runs)
    ]


def option(name, file, parent=False):
    """Return an option of a command where its file is among the inputs."""
    return f"--{name} {Path(file).parent if parent else file}" if file else ""


def run_files(name):
    return [f"{PATHS.results}/{run.key}/{name}" for run in WORKFLOW.runs]


FIGURES = {
    "difference": "difference to full fine-tuning",
    "seeds": "test, every seed",
    "pareto": "test against trained parameters",
    "loss": "training loss",
    "validation": "metric during training",
    "spectrum": "spectrum of the change of the weights",
}


def labels_of_figure(wildcards):
    """Tell a figure from the others: names of tasks and backbones hold no hyphen."""
    kind, task, backbone = (wildcards.figure.split("-") + ["all", "all"])[:3]
    return {"figure": FIGURES[kind], "task": task, "model": backbone}


def labels_of_runs(wildcards):
    return {"task": wildcards.task, "model": wildcards.backbone, "method": wildcards.method}


def state_of_own_files(*entries):
    """Hash of the names and contents of the files that tasks and backbones name; empty where they name none."""
    return own_files.state(entry.source.path for entry in entries if getattr(entry.source, "path", None))


def state_of_backbone(backbone):
    spec = BACKBONES[backbone]
    return state_of_own_files(spec, *([TASKS[spec.pretrained_on]] if spec.pretrained_on else []))


def spec_of_task(task):
    return {"name": task, "task": TASKS[task].model_dump(mode="json", by_alias=True)}
