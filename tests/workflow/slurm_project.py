"""A project whose workflow goes to the tests' SLURM: what it runs, how it is asked for, what SLURM says of the jobs."""

import contextlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import slurm_on_loopback
from filelock import FileLock
from holds import Hold

from frod.files import sha256

# GPUs are asked for, and there is none but /dev/null: the trainings run on the processor, as on a laptop.
CUT = """\
title: Cut
description: One method, one seed.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 32 }
methods: { full_ft: { kind: full_ft } }
experiments:
  - tasks: [digits]
    backbone: digit_vit
"""
GRID = "    grid: { full_ft: [{ lr: 1.0e-3, lr_head: 1.0e-3 }, { lr: 2.0e-3, lr_head: 1.0e-3 }] }\n"
SETTINGS = [
    ("suite: tiny", "suite: cut"),
    ("  gpu: 0", "  gpu: 1"),
    ("mem_mb: 4000", "mem_mb: 3000"),
    ("runtime: 240", "runtime: 50"),
    ("gpu_slots: 1", "gpu_slots: 2"),
]
PARTITIONS = [("  slurm_partition: null", "  slurm_partition: cpu"), ("# slurm_partition: gpu", "slurm_partition: gpu")]
METHOD = "results/cut/digits/digit_vit/full_ft"
RUN = f"{METHOD}/seed-0"


@contextlib.contextmanager
def slurm(*, accounting=False):
    """A SLURM, the only one on this machine; after it no daemon is left. Skips the tests where there can be none."""
    reason = slurm_on_loopback.obstacle(accounting=accounting)
    if reason:
        pytest.skip(reason)
    with FileLock(slurm_on_loopback.LOCK):
        with slurm_on_loopback.cluster(accounting=accounting):
            yield
        running = subprocess.run(["ps", "-e", "-o", "stat=,comm="], capture_output=True, text=True, check=True).stdout
        alive = [name for state, name in map(str.split, running.splitlines()) if not state.startswith("Z")]
        assert not {"slurmctld", "slurmd", "slurmdbd"} & set(alive)
        assert not slurm_on_loopback.CONFIGURATION.exists()


def prepare(project, rates):
    """Give a finished project a suite that is cut to one task and method, and settings of a cluster."""
    project.path("workflow/suites/cut.yaml").write_text(CUT + rates)
    for old, new in SETTINGS:
        project.edit("params.yaml", old, new)
    for old, new in PARTITIONS:
        project.edit("profiles/slurm/config.yaml", old, new)
    project.ask_often()


@contextlib.contextmanager
def edited(project, name, edits):
    """A file of the project with other settings, for a block."""
    before = project.path(name).read_text()
    for old, new in edits:
        project.edit(name, old, new)
    yield
    project.path(name).write_text(before)


def command(*arguments):
    """Snakemake with the profile."""
    return ["snakemake", "--workflow-profile", "profiles/slurm", *arguments]


def submit(project, *arguments):
    """Run it; all it prints."""
    return project.run(*command(*arguments)).stdout


def jobs(since=0):
    """What SLURM knows of its jobs, in the order they were submitted."""
    lines = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    found = [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in lines.splitlines()]
    return sorted((job for job in found if int(job["JobId"]) > since), key=lambda job: int(job["JobId"]))


def of_rule(name, among):
    """Those of a rule's jobs."""
    return [job for job in among if re.match(rf"rule_{name}(_|$)", job.get("Comment", ""))]


def results(project, run=RUN):
    """Hashes of a run's adapter and predictions."""
    return [sha256(project.path(run) / name) for name in ("adapter.safetensors", "predictions.parquet")]


@contextlib.contextmanager
def held_at_a_checkpoint(project, folder: Path, *arguments):
    """Run a workflow whose training waits at a checkpoint of its own, not of a trial, for what the block does to it.

    Yields its job and a list that has, after the block, what Snakemake printed; the run was not there before. The block
    ends the training, and the next one is let go.
    """
    shutil.rmtree(project.path(RUN), ignore_errors=True)
    before = max((int(job["JobId"]) for job in jobs()), default=0)
    hold, said = Hold(folder, "tempfile.mkstemp", r"seed-0/\.tmp-[^/]*\.pt'", after=3), []
    process = subprocess.Popen(
        command(f"{RUN}/record.json", *arguments),
        cwd=project.folder,
        env=hold.environment(project.environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        held = hold.wait(process)
        yield jobs(before)[-1], said
        held.wait()
        hold.release()
        said.append(process.communicate(timeout=1200)[0])
        assert process.returncode == 0, said[0]
    finally:
        process.kill()
