"""The workflow on a real SLURM: requests, a shared GPU, groups; a training cancelled, preempted, on two nodes."""

import json
import re
import shutil
import subprocess

import pytest
import slurm_project
from slurm_project import METHOD, RUN, edited, held_at_a_checkpoint, jobs, of_rule, results, submit

from frod.files import sha256

# Minutes, in which jobs of seconds wait most for Snakemake to start in them.
pytestmark = pytest.mark.timeout(2400)


@pytest.fixture(scope="module")
def through_slurm(finished):
    """A project whose cut suite has gone through SLURM to its report, from nothing but a model."""
    with slurm_project.slurm():
        for name in ("data/tasks", "data/bases", "results", "reports"):
            shutil.rmtree(finished.path(name))
        slurm_project.prepare(finished, slurm_project.GRID)
        finished.said = submit(finished)
        finished.jobs = jobs()
        yield finished


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


def resumed_from(project):
    return json.loads(project.path(f"{RUN}/record.json").read_text())["resumed_from_step"]


def rates(project):
    return json.loads(project.path(f"{METHOD}/tune/rates.json").read_text())["rates"]


def test_alone_on_their_gpu_they_take_turns_and_a_cancelled_one_goes_on_from_its_checkpoint(through_slurm, tmp_path):
    """The node has processors for both trials at once; only the GPU lets them run one after the other."""
    project = through_slurm
    undisturbed, chosen = results(project), rates(project)
    shutil.rmtree(project.path(METHOD))
    project.edit("params.yaml", "gpu_slots: 2", "gpu_slots: 1")
    before = int(project.jobs[-1]["JobId"])
    submit(project, f"{METHOD}/tune/rates.json")
    first, second = of_rule("trial", jobs(before))
    assert first["EndTime"] <= second["StartTime"]

    with held_at_a_checkpoint(project, tmp_path / "hold") as (training, said):
        subprocess.run(["scancel", training["JobId"]], check=True)
    assert [job["JobState"] for job in of_rule("train", jobs(before))] == ["CANCELLED", "COMPLETED"], said
    assert rates(project) == chosen
    assert resumed_from(project) > 0
    assert results(project) == undisturbed


def test_a_training_that_makes_way_for_an_urgent_job_goes_on_from_its_checkpoint(through_slurm, tmp_path):
    """SLURM preempts and requeues it; Snakemake, which waits all the while, neither fails nor submits it again."""
    project = through_slurm
    undisturbed, before = results(project), int(jobs()[-1]["JobId"])
    with held_at_a_checkpoint(project, tmp_path / "hold") as (_, said):
        urgent = ["sbatch", "--parsable", "--partition=urgent", "--cpus-per-task=4", "--output=/dev/null"]
        subprocess.run([*urgent, "--wrap=true"], check=True, capture_output=True)
    trained, urgent = jobs(before)
    found = [(job["Partition"], job["JobState"], job["Restarts"]) for job in (trained, urgent)]
    assert found == [("gpu", "COMPLETED", "1"), ("urgent", "COMPLETED", "0")], said
    assert urgent["EndTime"] <= trained["StartTime"]
    assert resumed_from(project) > 0
    assert results(project) == undisturbed


PAIR = [
    ("  gpu: 1", "  gpu: 2"),
    ("  nodes: 1 ", "  nodes: 2 "),
    ("  processes: 1 ", "  processes: 2 "),
    ("sharded: false", "sharded: true"),
]
ON_BOTH = [("slurm_partition: gpu", "slurm_partition: pair")]


def test_a_training_on_two_nodes_that_is_requeued_goes_on_from_its_checkpoint(through_slurm, tmp_path):
    """Sharded, a process on each; it ends in what two processes here end in undisturbed, to the bit."""
    project, before = through_slurm, int(jobs()[-1]["JobId"])
    here = [*project.training(RUN), "--processes", 2, "--threads", 2, "--sharded", "--out", tmp_path / "here"]
    status, said = project.frod("train", *here)
    assert status == 0, said
    with (
        edited(project, "params.yaml", PAIR),
        edited(project, "profiles/slurm/config.yaml", ON_BOTH),
        held_at_a_checkpoint(project, tmp_path / "hold") as (training, said),
    ):
        subprocess.run(["scontrol", "requeue", training["JobId"]], check=True)
    ended = of_rule("train", jobs(before))
    assert [(job["JobState"], job["Restarts"]) for job in ended] == [("COMPLETED", "1")], said
    asked = {"NumNodes": "2", "NumTasks": "2", "NumCPUs": "2", "TresPerNode": "gres:gpu:1"}
    asked |= {"NodeList": "first,second"}
    for job in (training, *ended):  # as it was held, and as it ended
        assert {name: job[name] for name in asked} == asked
    record = json.loads(project.path(f"{RUN}/record.json").read_text())
    assert record["processes"] == {"count": 2, "sharded": True, "backend": "gloo", "gpus": 0, "threads": 1}
    assert record["resumed_from_step"] > 0
    assert results(project) == results(project, tmp_path / "here")


# Four trainings of a second each, of rates that nobody tries.
MANY = """\
title: Many
description: One method, four seeds.
rates_chosen: by hand, for tests
seeds: [0, 1, 2, 3]
training: { epochs: 1, batch_size: 32 }
methods: { linear_probe: { kind: linear_probe } }
experiments:
  - tasks: [digits]
    backbone: digit_vit
    rates: { linear_probe: { lr_head: 1.0e-2 } }
"""


def test_four_trainings_are_two_submissions_and_end_in_the_same_bits_as_without_slurm(through_slurm):
    """Two in each, side by side. As an array, which would be one, they are refused before the first job."""
    project, before = through_slurm, int(jobs()[-1]["JobId"])
    project.path("workflow/suites/many.yaml").write_text(MANY)
    records = [f"results/many/digits/digit_vit/linear_probe/seed-{seed}/record.json" for seed in range(4)]
    adapters = [project.path(record).with_name("adapter.safetensors") for record in records]
    with edited(project, "params.yaml", [("  gpu: 1", "  gpu: 0"), ("suite: cut", "suite: many")]):
        array = project.run(*slurm_project.command("--slurm-array-jobs", "train", *records), check=False)
        assert array.returncode and "--slurm-array-jobs: fails trainings" in array.stdout
        said = submit(project, "--groups", "train=many", "--group-components", "many=2", "--", *records)
        found = [(job["JobState"], job["NumCPUs"], job["MinMemoryNode"]) for job in jobs(before)]
        assert found == [("COMPLETED", "2", "6000M")] * 2, said
        by_slurm = [sha256(path) for path in adapters]
        shutil.rmtree(project.path("results/many"))
        project.snakemake(*records)
    assert [sha256(path) for path in adapters] == by_slurm
