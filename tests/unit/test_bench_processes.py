"""The benchmarks from outside: they run without the workflow's packages, and peaks of memory are the system's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.run import main

ROOT = Path(__file__).parents[2]
# transformers and peft import pandas, scikit-learn and the like where they find them, so those cannot be hidden so.
ABSENT = ("snakemake", "dvc", "mlflow", "datasets", "pydantic", "typer")


@pytest.fixture
def without(tmp_path):
    """An environment in which importing what only the workflow needs is an error."""
    for name in ABSENT:
        package = tmp_path / "absent" / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"raise ImportError('{name} is hidden by this test')\n")
    return os.environ | {"PYTHONPATH": str(tmp_path / "absent"), "OMP_NUM_THREADS": "1"}


def run(*words, env):
    done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


# `python -m bench` with forks for its processes: ten of them would else import the same libraries, for seconds each.
# The project's own modules are imported anew in each.
FORKING = """
import multiprocessing, os, runpy, subprocess, sys, tempfile
import safetensors.torch, torch, torchvision
from transformers import CLIPImageProcessor, CLIPVisionModel

def become(module, words, out):
    os.dup2(out, 1)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("bench", "frod")]:
        del sys.modules[name]
    sys.argv[1:] = words
    runpy.run_module(module, run_name="__main__", alter_sys=True)

def run(command, **options):
    if command[:2] != [sys.executable, "-m"]:
        return in_a_new_process(command, **options)
    with tempfile.TemporaryFile("w+") as out:
        called = (command[2], command[3:], out.fileno())
        fork = multiprocessing.get_context("fork").Process(target=become, args=called)
        fork.start()
        fork.join()
        out.seek(0)
        return subprocess.CompletedProcess(command, fork.exitcode, out.read())

in_a_new_process, subprocess.run = subprocess.run, run
runpy.run_module("bench", run_name="__main__", alter_sys=True)
"""


def test_the_benchmarks_need_nothing_of_the_workflow(without, tmp_path, capsys):
    out = tmp_path / "results"
    words = ["--smoke", "--rounds", "1", "--methods", "full_ft", "frod", "--out", str(out)]
    printed = run("-c", FORKING, *words, env=without)
    assert sorted(path.name for path in out.iterdir()) == [
        "attach-cpu-tiny.json",
        "basis-cpu-tiny.json",
        "category-cpu-tiny.json",
        "input-cpu-tiny.json",
        "memory-cpu-tiny-b2.json",
        "step-cpu-tiny-b2.json",
    ]
    # One line a method: steps with memory, and adapters; one line a set-up.
    assert [line.split("  ")[0] for line in printed.splitlines() if line.startswith("FRoD")].count("FRoD") == 2
    peaks = json.loads((out / "memory-cpu-tiny-b2.json").read_text())["methods"]
    assert list(peaks) == ["full_ft", "frod"]
    assert all(row["peak"] >= max(row["before"], row["peak_steps"]) > 10**7 for row in peaks.values())
    assert main(["--table", "--device", "cpu", "--out", str(out)]) == 0
    assert capsys.readouterr().out == printed


MEASURED = """
import torch
from bench.memory import forget_peak, peak
size = 400 * 2**20
before = peak("cpu")
torch.ones(size, dtype=torch.uint8)
during = peak("cpu")
forget_peak("cpu")
print(before, during, peak("cpu"), size)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_the_peak_is_of_what_was_freed_too_until_it_is_forgotten():
    found = run("-c", MEASURED, env=os.environ | {"PYTHONPATH": str(ROOT)})
    before, during, after, size = map(int, found.split())
    assert during - before > 0.9 * size
    assert during - after > 0.9 * size
