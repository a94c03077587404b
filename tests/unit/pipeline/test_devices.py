"""The choice of GPUs on a workstation: trainings that run at once take different ones, and give them back as they end.

No GPU is needed: nvidia-smi is a script here.
"""

import os
import subprocess
import sys

import pytest

from frod.pipeline import devices

TWO = 'echo "GPU 0: H (UUID: a)"; echo "GPU 1: H (UUID: b)"'
HOLD = """
import os, sys
from frod.pipeline import devices
devices.take({count})
print(os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def workstation(tmp_path, monkeypatch):
    """A machine with two GPUs; a function that starts a training on it and says which it took."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{TWO}\n")
    tool.chmod(0o755)
    (tmp_path / "tmp").mkdir()
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", devices.SLOTS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    started = []

    def start(count=1, **environment):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", HOLD.format(count=count)]
        started.append(subprocess.Popen(command, env=os.environ | environment, **pipes))
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_trainings_take_different_gpus_and_wait_for_a_free_one(workstation):
    first, took = workstation()
    assert took == "0"
    assert workstation()[1] == "1"
    third, said = workstation()
    assert said == "waiting for 1 of 2 GPUs: 1 training(s) each are on them"
    first.kill()  # not even kill -9 keeps a GPU
    assert third.stdout.readline() == "0\n"


def test_slots_are_filled_evenly(workstation):
    assert [workstation(**{devices.SLOTS: "2"})[1] for _ in range(4)] == ["0", "1", "0", "1"]
    assert workstation(**{devices.SLOTS: "2"})[1].startswith("waiting")


def test_a_training_takes_as_many_as_it_has_processes(workstation):
    assert workstation(CUDA_VISIBLE_DEVICES="4,5,6")[1] == "4"
    assert workstation(2, CUDA_VISIBLE_DEVICES="4,5,6")[1] == "5,6"


@pytest.mark.parametrize(
    ("count", "environment", "expected"),
    [
        (2, {}, "None"),  # all that there are
        (1, {"CUDA_VISIBLE_DEVICES": "1"}, "1"),
        (1, {"CUDA_VISIBLE_DEVICES": ""}, ""),
        (1, {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "0"}, "0"),
    ],
)
def test_nothing_is_chosen_where_there_is_no_choice(workstation, tmp_path, count, environment, expected):
    assert workstation(count, **environment)[1] == expected
    assert not list((tmp_path / "tmp").iterdir())


def test_in_one_slurm_job_trainings_take_different_gpus_whatever_other_jobs_do(workstation):
    """A workflow that runs inside a job, as in a container, shares its GPUs out; another job's have like names."""
    taken = [workstation(SLURM_JOB_ID="7")[1] for _ in range(2)]
    assert sorted(taken) == ["0", "1"]
    assert workstation(SLURM_JOB_ID="8")[1] == "0"


def test_a_machine_without_nvidia_smi_has_none(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert devices.visible() == []
