"""What each job would ask of SLURM follows params.yaml: jobs are planned by the profile, none is submitted."""

import json
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Put before the workflow, which keeps some of it from being printed: Snakemake tells a logger what it plans.
PLANNED = """\
import json
from snakemake.logging import logger

def tell(record):
    event = getattr(getattr(record, "event", None), "name", None)
    if event == "JOB_INFO":
        told = {"rule": record.rule_name, "wildcards": dict(record.wildcards or {}), "threads": record.threads}
        print("planned", json.dumps(told | {"resources": dict(record.resources)}))
    if event == "GROUP_INFO":
        print("group", json.dumps([record.group_id, len(record.jobs)]))
    return True

logger.addFilter(tell)
"""
PROFILE = ["--workflow-profile", "profiles/slurm", "--dry-run"]
CORES = ["--cores", "64"]  # a dry run plans by this machine's, of which submitted jobs know nothing
SLURM = {
    "  slurm_partition: null": "  slurm_partition: batch",
    "slurm_account: null": "slurm_account: lab-7",
    "# slurm_partition: gpu": "slurm_partition: accelerated",
}


def plan(project, edits):
    """Edit params.yaml and the profile; return a dry run's jobs by rule and the sizes of its groups by name."""
    for name, changes in {"params.yaml": edits, "profiles/slurm/config.yaml": SLURM}.items():
        for old, new in changes.items():
            assert project.path(name).read_text().count(old) == 1, old
            project.edit(name, old, new)
    project.path("Snakefile").write_text(PLANNED + project.path("Snakefile").read_text())
    done = project.run("snakemake", *PROFILE, "--forceall", *CORES)
    jobs, groups = defaultdict(list), defaultdict(list)
    for line in done.stdout.splitlines():
        kind, _, told = line.partition(" ")
        if kind == "planned":
            job = json.loads(told)
            jobs[job["rule"]].append(job)
        if kind == "group":
            name, size = json.loads(told)
            groups[name].append(size)
    return jobs, groups


def test_every_job_asks_for_what_the_parameters_say(fresh):
    suite = fresh.path("workflow/suites/smoke.yaml")
    own = "    resources: { gpu: 0, mem_mb: 2222, runtime: 22, threads: 1 }\n"
    plain = re.sub(r" *resources: \{ runtime: \d+ \}\n", "", suite.read_text())
    suite.write_text(plain.replace("    backbone: micro_llama\n", "    backbone: micro_llama\n" + own))
    edits = {"  gpu: 0": "  gpu: 2", "  threads: 1": "  threads: 3", "mem_mb: 4000": "mem_mb: 5555"}
    edits |= {"runtime: 240": "runtime: 55", "  parts: 1": "  parts: 2"}
    jobs, groups = plan(fresh, edits | {"gres: gpu ": "gres: gpu:a100 "})
    names = ("mem_mb", "runtime", "slurm_partition", "slurm_account", "gres", "gpu")
    asked = defaultdict(set)
    for rule, planned in jobs.items():
        for job in planned:
            of = "sums" if "micro_llama" in job["wildcards"].values() else "rest"
            asked[rule, of].add((job["threads"], *(job["resources"].get(name) for name in names)))
    cpu, gpu = ("batch", "lab-7"), ("accelerated", "lab-7")
    for rule in ("backbone", "task"):
        assert asked[rule, "rest"] == asked[rule, "sums"] == {(1, 5555, 55, *cpu, None, None)}
    for rule in ("basis", "basis_part"):
        assert asked[rule, "rest"] == {(3, 5555, 55, *cpu, None, None)}
        assert asked[rule, "sums"] == {(1, 2222, 22, *cpu, None, None)}
    for rule in ("trial", "train", "spectrum"):
        # `gpu` would be added up where trainings share one.
        assert asked[rule, "rest"] == {(3, 5555, 55, *gpu, "gpu:a100:2", 0)}
        assert asked[rule, "sums"] == {(1, 2222, 22, *gpu, "", 0)}  # a profile knows the rule, not the GPUs
    here = {"tune", "evaluate", "summarise", "report", "all"}
    assert all(job["resources"].get("runtime") is None for rule in here for job in jobs[rule])
    rules = "".join(path.read_text() for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert {rule for rule, _ in asked} - {"all"} == set(re.findall(r"^(?:rule|use rule \w+ as) (\w+)", rules, re.M))
    assert not groups
    assert not any("mpi" in job["resources"] for planned in jobs.values() for job in planned)


def test_a_training_on_two_nodes_asks_for_a_task_on_each(fresh):
    """And no other job does: the plugin takes `mpi`, whatever it says, for a job that calls srun itself."""
    edits = {"  gpu: 0": "  gpu: 4", "  nodes: 1 ": "  nodes: 2 ", "  processes: 1 ": "  processes: 4 "}
    jobs, _ = plan(fresh, edits | {"  threads: 1": "  threads: 6"})
    assert {"trial", "train", "spectrum", "basis"} <= set(jobs)
    asked = {"nodes": 2, "tasks": 2, "tasks_per_gpu": 0, "cpus_per_task": 3, "mpi": "srun", "gres": "gpu:2"}
    for rule, planned in jobs.items():
        for job in planned:
            found = {name: job["resources"].get(name) for name in asked}
            if rule in ("trial", "train"):
                assert found == asked
            else:
                assert found == dict.fromkeys(asked) | {"gres": "gpu:2" if rule == "spectrum" else None}


def test_trainings_of_one_task_and_method_share_a_gpu_as_many_as_there_are_slots(fresh):
    """Full fine-tuning has three trials and two seeds."""
    fresh.edit("workflow/suites/smoke.yaml", "trials: 2", "trials: 3")
    _, groups = plan(fresh, {"  gpu: 0": "  gpu: 1", "gpu_slots: 1": "gpu_slots: 2"})
    assert sorted(groups["trial-digits-digit_vit-full_ft"]) == [1, 2]
    assert groups["train-digits-digit_vit-full_ft"] == [2]


def test_where_it_runs_does_not_make_a_finished_run_stale(finished):
    """The report shows the settings, and is made again in seconds."""
    edits = {"gpu_slots: 1": "gpu_slots: 3", "mem_mb: 4000": "mem_mb: 8000", "  gpu: 0": "  gpu: 2"}
    edits |= {"processes: 1": "processes: 2", "sharded: false": "sharded: true", "gres: gpu ": "gres: gpu:a100 "}
    for old, new in edits.items():
        finished.edit("params.yaml", old, new)
    said = finished.run("snakemake", *PROFILE, "--quiet", "rules").stdout
    assert set(re.findall(r"^(\w+) +\d+$", said, re.M)) == {"summarise", "report", "all", "total"}
