"""After a kill -9 of a training, of Snakemake or of everything, the same command ends in an undisturbed run's result.

Here once each, in the middle of a training; at ten random moments each by `python tests/faults/kills.py --tries 10`.
"""

import contextlib
import os
import random
import shutil
import subprocess

import pytest
from closed_disks import small_disk
from holds import Hold
from kills import DEADLINE, RUN, TRIAL, environment, kill, log_of, remove, result_of, start

OUTPUTS = ("adapter.safetensors", "history.parquet", "predictions.parquet", "record.json")

# Trainings are short here, of ten steps: a moment is after how many checkpoints.
MOMENTS = random.Random(6)


@pytest.fixture
def hold(tmp_path):
    return Hold.of_training(tmp_path / "hold", MOMENTS.randint(1, 8))


@pytest.mark.parametrize(("victim", "target"), [("job", RUN), ("group", TRIAL)])
def test_the_same_command_ends_in_the_same_result(finished, hold, victim, target):
    around = hold.environment(environment(finished))
    one = kill(finished, victim, target, hold.wait, result_of(finished, target), around)
    assert one.equal and one.said
    assert one.checkpoint > 0 and one.resumed > 0 and one.lost == 0


def test_a_second_workflow_is_told_of_the_first_and_takes_over_when_that_is_killed(finished, hold):
    def refused(process):
        hold.wait(process)
        second = subprocess.run(
            ["snakemake", "--cores", "1", f"{RUN}/record.json"],
            cwd=finished.folder, env=environment(finished), capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode != 0 and "cannot be locked" in second.stderr
        assert f"another Snakemake works in this folder (process {process.pid} on" in second.stderr
        assert process.poll() is None

    around = hold.environment(environment(finished))
    one = kill(finished, "Snakemake", RUN, refused, result_of(finished, RUN), around)
    assert one.equal and one.said
    assert one.checkpoint > 0 and one.lost == 0


def test_a_disk_that_fills_up_costs_no_finished_work(finished, tmp_path):
    """The training goes on without checkpoints until it cannot write its result; then the same command goes on."""
    result, folder = result_of(finished, RUN), finished.path(RUN)
    remove(finished, RUN)
    folder.mkdir()
    with small_disk(folder, megabytes=16) as mounted:
        if mounted is None:
            pytest.skip("no right to mount a small disk")
        hold = Hold.of_training(tmp_path / "hold", checkpoints=1)
        process = start(finished, RUN, hold.environment(environment(finished)))
        hold.wait(process)
        with contextlib.suppress(OSError), (folder / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        hold.release()
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
