"""What the workflow itself costs as a suite grows: planning, running with jobs that do nothing, files, MLflow, disk.

    python -m bench.scale                            24 tasks x 10 methods x 5 seeds x 3 rates, and a half and a quarter
    python -m bench.scale --tasks 201 --plan-only    10,050 runs

In a clone of the last commit, whose `python -m frod` only writes the files that its rule expects; so the seconds are
Snakemake's, ours (frod.pipeline.bookkeeping) and those of starting a process. Needs the extra `workflow`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas as pd
import yaml

from bench.machine import describe, load
from bench.settings import RESULTS
from bench.text import say
from frod import files
from frod.provenance import mlflow_entries

ROOT = Path(__file__).parents[1]
FAMILIES = ("vision", "nlu", "reasoning")
METHODS = ("full_ft", "frod", "linear_probe", "lora", "dora", "rslora", "pissa", "vera", "randlora", "oft")
SEEDS, TRIALS = 5, 3
MEMORIES = (".snakemake/frod-code.json", ".snakemake/frod-passed.json")  # of earlier plans
FLUSHED = 10  # steps between two readings of memory and processor (frod.training.loop)
# Run by a process of its own: what a process has as its peak begins with the memory of the one that started it.
PEAK = """import resource, subprocess, sys
done = subprocess.run(sys.argv[2:])
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(done.returncode)"""
STUB = '''\
"""Writes what the command's rule expects, and nothing else."""
import sys
from pathlib import Path

FILES = {
    "backbone": ["source.json"], "task": ["manifest.json"], "basis": ["manifest.json"],
    "train": ["adapter.safetensors", "history.parquet", "predictions.parquet", "record.json"],
}
command, words = sys.argv[1], sys.argv[2:]
of = lambda option: [Path(words[i + 1]) for i, word in enumerate(words) if word == option]
paths = [run / "metrics.json" for run in of("--run")] if command == "evaluate" else of("--out")
for path in [path / name for path in paths for name in FILES[command]] if command in FILES else paths:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(command)
'''


def suite(tasks: int) -> dict:
    """A suite of the paper's families with so many tasks, a third of each; rates that none of them has are LoRA's.

    Beyond the paper's tasks they are the same again under other names.
    """
    known = yaml.safe_load((ROOT / "frod/tasks/registry.yaml").read_text())
    experiments, own = [], {}
    for family in FAMILIES:
        given = yaml.safe_load((ROOT / f"workflow/suites/{family}.yaml").read_text())
        (one,) = given["experiments"]
        of_family, one["tasks"] = one["tasks"], []
        for i in range(tasks // len(FAMILIES)):
            again, place = divmod(i, len(of_family))
            one["tasks"].append(of_family[place] + f"_{again}" * bool(again))
            if again:
                own[one["tasks"][-1]] = known[of_family[place]]
        one["box"] = {method: one["box"].get(method, one["box"]["lora"]) for method in METHODS}
        one |= {"rates": {}, "training": given["training"], "resources": given["resources"]}
        experiments.append(one)
    names = {"title": "Scale", "description": "Scale", "methods": {method: {} for method in METHODS}, "tasks": own}
    return names | {"seeds": list(range(SEEDS)), "tune": {"trials": TRIALS}, "experiments": experiments}


def measure(project: Path, tasks: int, rounds: int, *, run: bool) -> dict[str, float]:
    """Plan a suite, first and again; with `run` also run it by stubs, and plan it with nothing to be done."""
    name = f"scale_{tasks}"
    (project / f"workflow/suites/{name}.yaml").write_text(yaml.safe_dump(suite(tasks)))
    snakemake = ["snakemake", "--quiet", "all", "--config", f"suite={name}", "--cores", "2"]
    planning = [*snakemake, "--dry-run", "runs"]
    found: dict[str, float] = {"tasks": tasks, "runs": tasks * len(METHODS) * SEEDS}
    for memory in MEMORIES:
        (project / memory).unlink(missing_ok=True)
    found |= timed("first_plan", project, planning, 1)
    found |= timed("plan", project, planning, rounds)
    found |= _paper(project, name)
    if run:
        before, logs = _files(project), len(list((project / "logs").rglob("*.log")))
        found |= timed("run", project, [*snakemake, "runs"], 1)
        found["jobs"] = len(list((project / "logs").rglob("*.log"))) - logs
        found |= timed("nothing_to_do", project, planning, rounds)
        found["files"] = _files(project) - before
    return found


def _paper(project: Path, suite: str) -> dict[str, float]:
    """Steps and disk as `frod cost` estimates them, and the rows of metrics that MLflow gets of such runs."""
    estimate = project / "estimate.json"
    command = ["cost", "--params", project / "params.yaml", "--suite", suite, "--json", estimate]
    options = ["--device", "cuda", "--tflops", "200"]  # of its figures only those without a speed are used
    subprocess.run([sys.executable, "-m", "frod", *command, *options], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    jobs = [job for job in json.loads(estimate.read_text())["jobs"] if not job["trial"]]
    others = sum(job["count"] * job["disk_bytes"] for job in jobs if job["method"] != "full_ft")
    rows = {steps: mlflow_rows(steps) for steps in {job["steps"] for job in jobs}}
    return {
        "steps": sum(job["count"] * job["steps"] for job in jobs),
        "mlflow_rows": sum(job["count"] * rows[job["steps"]] for job in jobs),
        "gib": sum(job["count"] * job["disk_bytes"] for job in jobs) / 2**30,
        "gib_without_full_ft": others / 2**30,
    }


def mlflow_rows(steps: int) -> int:
    """Points of the curves that MLflow gets of a run of so many steps in four epochs."""
    history = pd.DataFrame({"step": range(1, steps + 1), "seconds": 0.0})
    every_step = ["loss", "grad_norm", "lr_scale", "lr_rotation", "lr_head"]
    now_and_then = {"rss_bytes": FLUSHED, "cpu_percent": FLUSHED, "gpu_bytes": FLUSHED, "validation": -(-steps // 4)}
    columns = dict.fromkeys(every_step, 1) | now_and_then
    history = history.assign(**{name: (history["step"] % every == 0) * 1.0 for name, every in columns.items()})
    history = history.replace({name: {0.0: math.nan} for name in now_and_then})
    return len(mlflow_entries.curves(history.rename(columns={"validation": "validation_accuracy"})))


def timed(what: str, project: Path, command: list[str], rounds: int) -> dict[str, float]:
    """Medians of a command's seconds, and of its processor's, which other work on the machine disturbs less.

    With the memory of its largest process, in bytes. SystemExit with what the command said where it fails.
    """
    wall, processor, largest = [], [], []
    scripts = Path(sys.executable).parent
    environment = {"PYTHONPATH": str(project), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    with tempfile.NamedTemporaryFile("r") as peak:
        for _ in range(rounds):
            began, used = time.perf_counter(), _processor_seconds()
            done = subprocess.run(
                [sys.executable, "-IS", "-c", PEAK, peak.name, *command],
                cwd=project,
                env=os.environ | environment,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                raise SystemExit(f"{' '.join(command)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
            wall.append(time.perf_counter() - began)
            processor.append(_processor_seconds() - used)
            largest.append(int(Path(peak.name).read_text()) * 1024)
    seconds = {f"{what}_seconds": median(wall), f"{what}_processor_seconds": median(processor)}
    return seconds | {f"{what}_bytes": max(largest)}


def _processor_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _files(project: Path) -> int:
    return sum(path.is_file() for path in project.rglob("*"))


def main() -> None:
    """Measure, print a table, write bench/results/scale.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[6, 12, 24], help="multiples of 3; default: 6 12 24")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken; default: 3")
    parser.add_argument("--plan-only", action="store_true", help="do not run the jobs that do nothing")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of scale.json")
    given = parser.parse_args()
    machine = describe("cpu")
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
        (project / "frod/__main__.py").write_text(STUB)
        sizes = []
        for tasks in given.tasks:
            say(f"{tasks} tasks")
            sizes.append(measure(project, tasks, given.rounds, run=not given.plan_only))
    files.write_json(given.out / "scale.json", {"machine": machine | {"load_average_after": load()}, "sizes": sizes})
    print(pd.DataFrame(sizes).T.to_string(float_format="{:,.1f}".format))


if __name__ == "__main__":
    main()
