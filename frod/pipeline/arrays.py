"""Job arrays of SLURM, many trainings in one submission: only where Snakemake's plugin carries them out as meant."""

from collections.abc import Collection
from typing import Any

from snakemake.exceptions import WorkflowError

from frod.config.settings import Resources
from frod.pipeline import metadata


def check(workflow: Any, resources: Collection[Resources]) -> None:
    """WorkflowError where a training of an array would get what another asks for, or would never be submitted.

    `resources` are those of all trainings. Both are so in version 2.8.0 of the plugin: an array asks for what its first
    job does; and of jobs that are ready, it keeps those back that `--jobs` has separated from others of their rule.
    """
    if not getattr(workflow.executor_settings, "array_jobs", None):
        return
    if len(set(resources)) > 1:
        raise WorkflowError(
            "--slurm-array-jobs: the suite's trainings differ in resources, an array's cannot: leave it out"
        )
    due, at_once = metadata.jobs_due(workflow), workflow.resource_settings.nodes
    if at_once < due:
        raise WorkflowError(f"--jobs: {at_once}, of {due}: with --slurm-array-jobs, give at least --jobs {due}")
