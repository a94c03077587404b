"""After a kill -9 of a training, of Snakemake or of everything, the same command ends in an undisturbed run's result.

Here once each, in the middle of a training; at ten random moments each by `python tests/faults/kills.py --tries 10`.
"""

import contextlib
import os
import random
import shutil
import subprocess
import time

import psutil
import pytest
from closed_disks import small_disk
from kills import DEADLINE, RUN, TRIAL, environment, kill, log_of, remove, result_of, start, ticks

OUTPUTS = ("adapter.safetensors", "history.parquet", "predictions.parquet", "record.json")

# Trainings are short here: the moment is drawn from the first seconds after the first checkpoint.
MOMENTS = random.Random(6)


@contextlib.contextmanager
def stopped_jobs(process):
    """Stop what a workflow has started: no training ends meanwhile."""
    jobs = psutil.Process(process.pid).children(recursive=True)
    for job in jobs:
        job.suspend()
    try:
        yield
    finally:
        for job in jobs:
            job.resume()


def when_saved(project):
    """A moment a little after the target's first checkpoint."""

    def wait(process, target):
        for _ in ticks():
            if log_of(project, target).exists() and "checkpoint after" in log_of(project, target).read_text():
                return time.sleep(0.3 * MOMENTS.random())
            assert process.poll() is None, "it ended before there was a checkpoint"
        raise TimeoutError(f"no checkpoint within {DEADLINE} s")

    return wait


@pytest.mark.parametrize(("victim", "target"), [("job", RUN), ("group", TRIAL)])
def test_the_same_command_ends_in_the_same_result(finished, victim, target):
    one = kill(finished, victim, target, when_saved(finished), result_of(finished, target))
    assert one.equal and one.said
    assert one.checkpoint > 0 and one.lost == 0


def test_a_second_workflow_is_told_of_the_first_and_takes_over_when_that_is_killed(finished):
    def refused(process, target):
        when_saved(finished)(process, target)
        with stopped_jobs(process):
            second = subprocess.run(
                ["snakemake", "--cores", "1", f"{RUN}/record.json"],
                cwd=finished.folder, env=environment(finished), capture_output=True, text=True, check=False,
            )  # fmt: skip
        assert second.returncode != 0 and "cannot be locked" in second.stderr
        assert f"another Snakemake works in this folder (process {process.pid} on" in second.stderr
        assert process.poll() is None

    one = kill(finished, "Snakemake", RUN, refused, result_of(finished, RUN))
    assert one.equal and one.said
    assert one.checkpoint > 0 and one.lost <= 1  # the job, which ends a moment later, may save once more


def test_a_disk_that_fills_up_costs_no_finished_work(finished):
    """The training goes on without checkpoints until it cannot write its result; then the same command goes on."""
    result, folder = result_of(finished, RUN), finished.path(RUN)
    remove(finished, RUN)
    folder.mkdir()
    with small_disk(folder, megabytes=16) as mounted:
        if mounted is None:
            pytest.skip("no right to mount a small disk")
        process = start(finished, RUN)
        when_saved(finished)(process, RUN)
        with (
            stopped_jobs(process),
            contextlib.suppress(OSError),
            (folder / "ballast").open("wb", buffering=0) as ballast,
        ):
            while True:
                ballast.write(bytes(4096))
        assert process.wait(DEADLINE) == 1
        log = log_of(finished, RUN).read_text()
        assert "no checkpoint now, the training goes on" in log
        assert f"No space left on device: {RUN}/adapter.safetensors was not written; free space" in log
        assert "Traceback" not in log
        (folder / "ballast").unlink()
        assert start(finished, RUN).wait(DEADLINE) == 0
        assert "going on from the checkpoint after step" in log_of(finished, RUN).read_text()
        assert result_of(finished, RUN) == result
        # The checkpoint goes with `frod evaluate`.
        assert sorted(os.listdir(folder)) == sorted([*OUTPUTS, "checkpoint.pt"])
        shutil.copytree(folder, finished.path("results/kept"))
    shutil.rmtree(folder)
    finished.path("results/kept").rename(folder)  # for the tests that follow
