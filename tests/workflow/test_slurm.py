"""The workflow on a real SLURM: what jobs ask for, a GPU shared or not, a training cancelled, one on two nodes."""

import json
import re
import shutil
import subprocess

import pytest
import slurm_on_loopback
from filelock import FileLock
from holds import Hold

from frod.files import sha256

# About two minutes on an idle machine, of which jobs of seconds wait most for Snakemake to start in them.
pytestmark = pytest.mark.timeout(2400)

# GPUs are asked for, and there is none but /dev/null: the trainings run on the processor, as on a laptop.
CUT = """\
title: Cut
description: One method, one seed, two trials.
rates_chosen: by hand, for tests
seeds: [0]
training: { epochs: 1, batch_size: 32 }
methods: { full_ft: { kind: full_ft } }
experiments:
  - tasks: [digits]
    backbone: digit_vit
    grid: { full_ft: [{ lr: 1.0e-3, lr_head: 1.0e-3 }, { lr: 2.0e-3, lr_head: 1.0e-3 }] }
"""
SETTINGS = [
    ("suite: tiny", "suite: cut"),
    ("  gpu: 0", "  gpu: 1"),
    ("mem_mb: 4000", "mem_mb: 3000"),
    ("runtime: 240", "runtime: 50"),
    ("gpu_slots: 1", "gpu_slots: 2"),
]
PARTITIONS = [("  slurm_partition: null", "  slurm_partition: cpu"), ("# slurm_partition: gpu", "slurm_partition: gpu")]
# The executor asks for a job that runs after 1, 11, 21, ... seconds: here every second, as these take but a few.
EVERY_SECOND = """

from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

RemoteExecutor.next_seconds_between_status_checks = property(lambda self: 1, lambda self, seconds: None)
"""
METHOD = "results/cut/digits/digit_vit/full_ft"
RUN = f"{METHOD}/seed-0"


@pytest.fixture(scope="module")
def slurm():
    """A SLURM, the only one on this machine; after it no daemon is left."""
    reason = slurm_on_loopback.obstacle()
    if reason:
        pytest.skip(reason)
    with FileLock(slurm_on_loopback.LOCK):
        with slurm_on_loopback.cluster():
            yield
        running = subprocess.run(["ps", "-e", "-o", "stat=,comm="], capture_output=True, text=True, check=True).stdout
        alive = [name for state, name in map(str.split, running.splitlines()) if not state.startswith("Z")]
        assert not {"slurmctld", "slurmd"} & set(alive)
        assert not slurm_on_loopback.CONFIGURATION.exists()


@pytest.fixture(scope="module")
def through_slurm(slurm, finished):
    """A project whose cut suite has gone through SLURM to its report, from nothing but a model."""
    for name in ("data/tasks", "data/bases", "results", "reports"):
        shutil.rmtree(finished.path(name))
    finished.path("workflow/suites/cut.yaml").write_text(CUT)
    for old, new in SETTINGS:
        finished.edit("params.yaml", old, new)
    for old, new in PARTITIONS:
        finished.edit("profiles/slurm/config.yaml", old, new)
    finished.path("Snakefile").write_text(finished.path("Snakefile").read_text() + EVERY_SECOND)
    finished.said = submit(finished)
    finished.jobs = jobs()
    return finished


def submit(project, *arguments, **environment):
    """Run Snakemake with the profile."""
    return project.run(*command(*arguments), **environment).stdout


def command(*arguments):
    return ["snakemake", "--workflow-profile", "profiles/slurm", *arguments]


def jobs(since=0):
    """What SLURM knows of its jobs, in the order they were submitted."""
    lines = subprocess.run(["scontrol", "show", "job", "--oneliner"], capture_output=True, text=True, check=True).stdout
    found = [dict(word.partition("=")[::2] for word in line.split() if "=" in word) for line in lines.splitlines()]
    return sorted((job for job in found if int(job["JobId"]) > since), key=lambda job: int(job["JobId"]))


def of_rule(name, among):
    return [job for job in among if re.match(rf"rule_{name}(_|$)", job.get("Comment", ""))]


def test_the_suite_goes_through_slurm_to_its_report(through_slurm):
    assert "Suite cut" in through_slurm.said
    assert through_slurm.path("reports/cut/index.html").exists()
    states = {job["JobState"] for job in through_slurm.jobs}
    assert states == {"COMPLETED"}
    assert "Nothing to be done" in submit(through_slurm, "--dry-run")


def test_each_job_asks_for_what_the_parameters_say(through_slurm):
    (task,), (spectrum,) = (of_rule(rule, through_slurm.jobs) for rule in ("task", "spectrum"))
    assert (task["Partition"], task["MinMemoryNode"], task["TimeLimit"]) == ("cpu", "3000M", "00:50:00")
    assert "TresPerNode" not in task
    assert (spectrum["Partition"], spectrum["MinMemoryNode"], spectrum["TimeLimit"]) == ("gpu", "3000M", "00:50:00")
    assert spectrum["TresPerNode"] == "gres:gpu:1"
    names = " ".join(job.get("Comment", "") for job in through_slurm.jobs)
    assert not re.search("tune|evaluate|summarise|report", names)  # of seconds, here


def test_two_trials_share_one_job_and_its_gpu(through_slurm):
    (pack,) = [job for job in through_slurm.jobs if "trial" in job["Comment"]]
    assert (pack["TresPerNode"], pack["NumCPUs"], pack["MinMemoryNode"]) == ("gres:gpu:1", "2", "6000M")
    assert {path.name for path in through_slurm.path(f"{METHOD}/tune").iterdir()} >= {
        "trial-0-seed-100.json",
        "trial-1-seed-100.json",
    }
    logs = through_slurm.path("logs/slurm")
    assert list(logs.rglob(f"{pack['JobId']}.log")), sorted(logs.rglob("*"))


def held_at_a_checkpoint(project, folder, request):
    """A workflow whose training waits at a checkpoint of its own, not of a trial: the hold, Snakemake, the training."""
    hold = Hold(folder, "tempfile.mkstemp", r"seed-0/\.tmp-[^/]*\.pt'", after=3)
    process = subprocess.Popen(
        command(f"{RUN}/record.json"),
        cwd=project.folder,
        env=hold.environment(project.environment()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    request.addfinalizer(process.kill)
    held = hold.wait(process)
    return hold, process, held


def test_alone_on_their_gpu_they_take_turns_and_a_cancelled_one_goes_on_from_its_checkpoint(
    through_slurm, request, tmp_path
):
    """The node has processors for both trials at once; only the GPU lets them run one after the other."""
    project = through_slurm
    results = [project.path(f"{RUN}/{name}") for name in ("adapter.safetensors", "predictions.parquet")]
    undisturbed = [sha256(path) for path in results]
    rates = json.loads(project.path(f"{METHOD}/tune/rates.json").read_text())["rates"]
    shutil.rmtree(project.path(METHOD))
    project.edit("params.yaml", "gpu_slots: 2", "gpu_slots: 1")
    before = int(project.jobs[-1]["JobId"])
    submit(project, f"{METHOD}/tune/rates.json")
    first, second = of_rule("trial", jobs(before))
    assert first["EndTime"] <= second["StartTime"]

    hold, process, held = held_at_a_checkpoint(project, tmp_path / "hold", request)
    (training,) = of_rule("train", jobs(before))
    subprocess.run(["scancel", training["JobId"]], check=True)
    held.wait()
    hold.release()  # of the next one
    said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said

    assert [job["JobState"] for job in of_rule("train", jobs(before))] == ["CANCELLED", "COMPLETED"], said
    assert json.loads(project.path(f"{METHOD}/tune/rates.json").read_text())["rates"] == rates
    assert json.loads(project.path(f"{RUN}/record.json").read_text())["resumed_from_step"] > 0
    assert [sha256(path) for path in results] == undisturbed


PAIR = [
    ("  gpu: 1", "  gpu: 2"),
    ("  nodes: 1 ", "  nodes: 2 "),
    ("  processes: 1 ", "  processes: 2 "),
    ("sharded: false", "sharded: true"),
]


def test_a_training_on_two_nodes_that_is_requeued_goes_on_from_its_checkpoint(through_slurm, request, tmp_path):
    """Sharded, a process on each; it ends in what it ends in undisturbed, to the bit."""
    project = through_slurm
    for old, new in PAIR:
        project.edit("params.yaml", old, new)
    project.edit("profiles/slurm/config.yaml", "slurm_partition: gpu", "slurm_partition: pair")
    results = [project.path(f"{RUN}/{name}") for name in ("adapter.safetensors", "predictions.parquet")]
    before = int(project.jobs[-1]["JobId"])
    shutil.rmtree(project.path(RUN))
    submit(project, f"{RUN}/record.json")
    undisturbed = [sha256(path) for path in results]
    job = of_rule("train", jobs(before))[-1]
    asked = {"NumNodes": "2", "NumTasks": "2", "NumCPUs": "2", "TresPerNode": "gres:gpu:1", "NodeList": "first,second"}
    assert {name: job[name] for name in asked} == asked
    record = json.loads(project.path(f"{RUN}/record.json").read_text())
    assert record["processes"] == {"count": 2, "sharded": True, "backend": "gloo", "gpus": 0, "threads": 1}

    shutil.rmtree(project.path(RUN))
    hold, process, held = held_at_a_checkpoint(project, tmp_path / "hold", request)
    training = of_rule("train", jobs(int(job["JobId"])))[-1]
    subprocess.run(["scontrol", "requeue", training["JobId"]], check=True)
    held.wait()
    hold.release()
    said, _ = process.communicate(timeout=1200)
    assert process.returncode == 0, said
    ended = of_rule("train", jobs(int(job["JobId"])))
    assert [(job["JobState"], job["Restarts"]) for job in ended] == [("COMPLETED", "1")], said
    assert json.loads(project.path(f"{RUN}/record.json").read_text())["resumed_from_step"] > 0
    assert [sha256(path) for path in results] == undisturbed
