# Parameters, paths and hashes that the rules share. Parameters are checked here, before any job starts.
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config

from frod import numerics
from frod.crate.payload import suite_files
from frod.pipeline import bookkeeping, copies, local_inputs, metadata
from frod.pipeline.load import load_workflow, own_paths, spec_of_backbone, spec_of_task
from frod.pipeline.warm.imports import STAGES
from frod.provenance import code, sources
from frod.provenance.hashes import json_sha256
from frod.reporting.naming import labels_of_figure
from frod.training import preflight

# Of this machine, by content: only modules that have changed are parsed again, only methods that have are tried again.
PARSED, PASSED = Path(".snakemake/frod-code.json"), Path(".snakemake/frod-passed.json")
sources.recall(PARSED)

try:
    GIVEN = metadata.given(workflow)
    update_config(config, GIVEN["--config"])
    WORKFLOW, BACKBONES, TASKS = load_workflow(config, Path(workflow.basedir), GIVEN)
    PATHS = WORKFLOW.params.paths
    local_inputs.check_seen_by_dvc(
        [path for name in WORKFLOW.backbones() for path in own_paths(BACKBONES[name], TASKS)]
        + [path for name, _ in WORKFLOW.pairs() for path in own_paths(TASKS[name], TASKS)],
        folder=Path(PATHS.own),
        suite=WORKFLOW.params.suite,
    )
    # Once there is a table of all runs, the suite has shown that it can run. A storage provider's files are not here.
    shown = metadata.copies(workflow) or Path(PATHS.results, WORKFLOW.name, "summary.parquet").exists()
    if metadata.is_main(workflow) and not shown:
        prepared = {path.parents[1].name for path in Path(PATHS.data, "tasks").rglob("manifest.json")}
        preflight.check(WORKFLOW, BACKBONES, TASKS, prepared=prepared, memory=PASSED)
except ValueError as error:
    raise WorkflowError(str(error)) from None

# An audit holds runs against a commit that has these; records say whether they, the rules and the code were committed.
SETTINGS = [Path("params.yaml"), *suite_files(WORKFLOW)]
os.environ[code.SETTINGS] = os.pathsep.join(map(str, [*SETTINGS, "Snakefile", "workflow/rules"]))
RESULTS = f"{PATHS.results}/{WORKFLOW.name}"
REPORTS = f"{PATHS.reports}/{WORKFLOW.name}"
RESOURCES = WORKFLOW.params.resources
CLUSTER = WORKFLOW.params.cluster
PROTOCOL = WORKFLOW.params.protocol
# The protocols split a task in other ways; their arrays lie apart.
TASK_DATA = f"{PATHS.data}/tasks"
if PROTOCOL != "audited":
    TASK_DATA = f"{PATHS.data}/tasks/{PROTOCOL}"

MODEL = f"{PATHS.data}/models/{{backbone}}"
TASK = f"{TASK_DATA}/{{task}}/{{backbone}}"
BASIS = f"{PATHS.data}/bases/{{backbone}}/{{basis}}"
METHOD = f"{RESULTS}/{{task}}/{{backbone}}/{{method}}"
RUN = f"{METHOD}/seed-{{seed}}"
# Below logs/RULE and benchmarks/RULE.
OF_METHOD = f"{WORKFLOW.name}/{{task}}/{{backbone}}/{{method}}"

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


# Files that DVC has brought are judged by content, not by their times; see frod/pipeline/bookkeeping.py.
bookkeeping.keep(workflow, suite=WORKFLOW.name.partition("/")[0], paths=PATHS)

# Snakemake sees the shell text and `params`, not the modules behind a command: their hash stands among the params.
CODE = code.code_hashes({stage: f"frod.cli.{stage}" for stage in STAGES})
sources.keep(PARSED)

# The same digits on every processor, or not. Results depend on it, so that it also stands among the params.
NUMERICS = os.environ[numerics.VARIABLE] = WORKFLOW.params.numerics

# Where a storage provider is set, jobs find the study's files below this folder.
COPIES = os.environ[copies.VARIABLE] = metadata.copies(workflow)

# Where things are found and how often they are saved: no result depends on these, so they must not make a finished
# job stale. The jobs inherit them; what the user's environment says comes first.
INHERITED = {
    "FROD_MIRROR": PATHS.mirror and str(Path(PATHS.mirror).expanduser().resolve()),
    "MLFLOW_TRACKING_URI": WORKFLOW.params.tracking.uri or (COPIES and f"sqlite:///{Path('mlflow.db').absolute()}"),
    "FROD_TRACKING": None if WORKFLOW.params.tracking.enabled else "off",
    "FROD_CHECKPOINT_SECONDS": str(RESOURCES.checkpoint_seconds),
    "FROD_GPU_SLOTS": str(CLUSTER.gpu_slots),
}
for name, value in INHERITED.items():
    if value:
        os.environ.setdefault(name, value)
# `python` in a rule is the one that Snakemake runs in, also where its environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


wildcard_constraints:
    backbone="|".join(WORKFLOW.backbones()),
    task="|".join(dict.fromkeys(task for task, _ in WORKFLOW.pairs())),
    method="|".join(WORKFLOW.suite.methods),
    basis="[^/]+",
    seed="[0-9]+",


def own_files(entry):
    """The user's own data and weights. What they hold stands among the params, so that their times say nothing.

    A name with a brace in it Snakemake would take for a pattern. Of a storage provider's files times are all there is;
    it has none by an absolute path.
    """
    paths = [path for path in map(str, own_paths(entry, TASKS)) if "{" not in path]
    if not COPIES:
        return [ancient(path) for path in paths]
    return [local(path) if os.path.isabs(path) else path for path in paths]


def resources_of(wildcards):
    return WORKFLOW.resources[OF_METHOD.format(**wildcards)]


def gpus_of(wildcards):
    return resources_of(wildcards).gpu


def gres_of(wildcards):
    """GPUs of each node as SLURM calls them; its profile asks by this name and not by `gpu`."""
    gpus = gpus_of(wildcards) // resources_of(wildcards).nodes
    return f"{CLUSTER.gres}:{gpus}" if gpus else ""


def team_of(wildcards, input):
    """Processes of one training. The result is the same up to rounding, and another number leaves a finished run alone.

    It does so because Snakemake takes a parameter that is a function of `input` for no cause to run a job again.
    """
    resources = resources_of(wildcards)
    sharded = "--sharded" if resources.sharded else "--no-sharded"
    return ["--processes", resources.processes, "--nodes", resources.nodes, sharded]


def threads_of_node(resources):
    return -(-max(resources.threads, resources.processes) // resources.nodes)


def srun_of(wildcards, threads):
    """What calls a training's command on each of its nodes, in a SLURM job. (Of `threads` for the reason above.)"""
    resources = resources_of(wildcards)
    if resources.nodes == 1 or "SLURM_JOB_ID" not in os.environ:
        return []
    nodes = [f"--nodes={resources.nodes}", f"--ntasks={resources.nodes}", "--ntasks-per-node=1"]
    return ["srun", *nodes, f"--cpus-per-task={threads_of_node(resources)}", "--kill-on-bad-exit"]


def on_nodes(resource):
    """A resource of trainings on several nodes alone: Snakemake drops one that is None."""
    if all(each.nodes == 1 for each in WORKFLOW.resources.values()):
        return None  # a function would be called for each job, twice
    return lambda wildcards: resource(of) if (of := resources_of(wildcards)).nodes > 1 else None


SLOTS = {}


def shared_job(rule, wildcards):
    """Name of the jobs of which cluster.gpu_slots run side by side in one SLURM job, on one GPU; None: alone.

    They are trainings of one task and method: of one size, ready together, and no other method waits for them.
    """
    if gpus_of(wildcards) != 1 or CLUSTER.gpu_slots == 1:
        return None
    name = f"{rule}-{wildcards.task}-{wildcards.backbone}-{wildcards.method}"
    # So many of a group make one submission: `--group-components NAME=N`, which Snakemake sets after it reads the rules, and
    # has no public place for in a rule. A profile could say it of one name for all, but then trainings of different tasks
    # and methods would share a job, and wait for what the others need.
    SLOTS[name] = CLUSTER.gpu_slots
    workflow.group_settings.group_components = SLOTS
    return name


def urgency(wildcards):
    """What the longest trainings wait for starts first: the runtime of those on the backbone, in minutes.

    What nothing but the report waits for has no priority, and fills the processors that are left.
    """
    return max(resources.runtime for resources in WORKFLOW.resources_on[wildcards.backbone])


def before_training(wildcards):
    """Weights, data and bases of all tasks come before any training, so that what is wrong with one is said at once."""
    return 1_000_000 + urgency(wildcards)


def trials_of(wildcards):
    return WORKFLOW.trials_of(wildcards.task, wildcards.backbone, wildcards.method)


def box_of(wildcards):
    box = next(iter(trials_of(wildcards).values())).box
    return ["--box", json.dumps(box)] if box else []


def basis_of_run(wildcards):
    named = {name: wildcards[name] for name in ("task", "backbone", "method")}
    basis = WORKFLOW.extraction(WORKFLOW.find(**named, seed=WORKFLOW.suite.seeds[0]))
    return [BASIS.format(backbone=wildcards.backbone, basis=basis.name)] if basis else []


def rates_of_run(wildcards):
    return [f"{METHOD}/tune/rates.json"] if trials_of(wildcards) else []


# By names and not by `rules.train.output`, which with a storage provider are copies' and cannot be expanded.
def of_all_trials(file):
    trial = f"{METHOD}/tune/{{trial}}.{file}"
    return lambda wildcards: expand(trial, trial=list(trials_of(wildcards)), **wildcards)


def of_all_seeds(*files):
    return expand([f"{RUN}/{file}" for file in files], seed=WORKFLOW.suite.seeds, allow_missing=True)


def run_options(wildcards):
    return option("run", expand(RUN, seed=WORKFLOW.suite.seeds, **wildcards))


def of_all_runs(file):
    return [f"{PATHS.results}/{run.key}/{file}" for run in WORKFLOW.runs]


def option(name, paths):
    """Return an option of a command, once for each path."""
    return [word for path in paths for word in (f"--{name}", path)]
