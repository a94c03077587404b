# FRoD, put to the test: data -> shared basis -> training per task, method and seed -> evaluation -> report.
#   snakemake --cores N            the whole reproduction of the suite that params.yaml names
#   snakemake --cores N runs       up to a stage: data, bases, runs, report
#   snakemake --cores N --configfile params.yaml my-settings.yaml
from pathlib import Path

from snakemake.utils import min_version

from frod.pipeline import gone, messages, metadata, running
from frod.pipeline.load import check_file
from frod.pipeline.warm import start as warm
from frod.provenance.code import warn_of_edits

min_version("9.27")

# Snakemake runs the Python that a configfile may hold: it is looked through before.
check_file(Path("params.yaml"))


configfile: "params.yaml"


report: "workflow/report/workflow.rst"


# Taken with `--software-deployment-method apptainer` alone; docs/cluster.md says how it is built.
container: "frod.sif"


messages.shorten(lambda: metadata.is_dry(workflow))


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/basis.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


if not COPIES:
    gone.watch(workflow, RUN_FILES, report=Path(REPORTS), results=Path(RESULTS), params=WORKFLOW.params)


rule all:
    default_target: True
    input:
        rules.report.output,


rule data:
    input:
        expand(MODEL, backbone=WORKFLOW.backbones()),
        [TASK.format(task=task, backbone=backbone) for task, backbone in WORKFLOW.pairs()],


rule bases:
    input:
        [BASIS.format(backbone=backbone, basis=basis) for backbone, basis in WORKFLOW.bases],


# Each job that makes one of RUN_FILES is in the plan through these two; to plan for a file that is there costs time.
rule runs:
    input:
        rules.summarise.output,
        SPECTRA,
        SHARPNESS,
        lambda wildcards: [file for file in RUN_FILES if not Path(file).exists()],


onstart:
    if metadata.is_main(workflow):
        metadata.check_executor(workflow)
        metadata.look_as_jobs_end(workflow)
        warn_of_edits(SETTINGS)
        running.start(Path("logs"))
    if metadata.is_main(workflow) and metadata.is_local(workflow):
        warm.start(jobs=metadata.jobs_due(workflow))


onsuccess:
    from frod.cli.show import show

    # The report may be in git without the runs, or of others where a part of the workflow was asked for.
    if Path(rules.summarise.output.summary).exists() and gone.is_of_these_runs(Path(REPORTS)):
        show(Path(rules.summarise.output.summary))
        print(f"The report: {REPORTS}/index.html")
