"""One training on two processes (CPU, gloo), by DDP and sharded by FSDP2, gives what one process gives, resumes, and
notices a divergence in all of them at once.

Two processes run processes_worker.py once; one process does the same trainings here. They differ by the
order in which sums are taken: by some 1e-7 a step, which training carries on.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import processes_project as project
import pytest
import torch
from machines import two_machines

from frod.training.run import deterministic

TIMELESS = ["step", "epoch", "loss", "grad_norm", "examples", "validation_accuracy"]
TOLERANCES = {"frod-bfloat16": 3e-2}  # of which one number has 8 bits
USUAL = 1e-4
ROUNDING = "key.bias"  # attention does not depend on it: its gradient is rounding, which Adam blows up to its rate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What one process and two make of the same trainings."""
    folder = tmp_path_factory.mktemp("processes")
    threads, deterministic_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    project.make(folder)
    project.make(folder / "dropout", dropout=0.2)
    deterministic(1)
    for case, one in project.cases().items():
        project.train(folder, one, folder / f"one-{case}")
    worker = Path(__file__).with_name("processes_worker.py")
    subprocess.run([sys.executable, worker, folder], check=True)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic_before)
    return folder


@pytest.fixture(params=["ddp", "sharded"])
def strategy(request):
    return request.param


def tables(out):
    return [pd.read_parquet(out / f"{name}.parquet") for name in ("history", "predictions")]


def assert_equal(found, expected):
    """Results in two folders are the same to the bit, but for times."""
    (history, predictions), (reference, predicted) = tables(found), tables(expected)
    pd.testing.assert_frame_equal(history[TIMELESS], reference[TIMELESS], check_exact=True)
    pd.testing.assert_frame_equal(predictions, predicted, check_exact=True)
    trained = project.adapter(expected)
    assert project.adapter(found).keys() == trained.keys()
    for name, tensor in project.adapter(found).items():
        assert torch.equal(tensor, trained[name]), name


@pytest.mark.parametrize("case", project.cases())
def test_the_results_are_those_of_one_process(folder, strategy, case):
    one, several = folder / f"one-{case}", folder / f"{strategy}-{case}"
    tolerance = TOLERANCES.get(case, USUAL)
    (history, predictions), (found, predicted) = tables(one), tables(several)
    assert history["loss"].iloc[-1] < 0.9 * history["loss"].iloc[0]  # there is something to agree on
    assert list(found["examples"]) == list(history["examples"])
    np.testing.assert_allclose(found["loss"], history["loss"], rtol=tolerance)
    np.testing.assert_allclose(found["grad_norm"], history["grad_norm"], rtol=10 * tolerance)
    scores, expected = np.stack(predicted["scores"]), np.stack(predictions["scores"])
    np.testing.assert_allclose(scores, expected, atol=10 * tolerance)
    columns = ["split", "example_id", "label"] + (["prediction"] if case not in TOLERANCES else [])
    pd.testing.assert_frame_equal(predicted[columns], predictions[columns])
    trained, reference = project.adapter(several), project.adapter(one)
    assert trained.keys() == reference.keys()
    for name, tensor in reference.items():
        if not name.endswith(ROUNDING):
            torch.testing.assert_close(trained[name], tensor, rtol=tolerance, atol=10 * tolerance)


def test_a_training_that_was_cut_goes_on_to_the_same_result(folder, strategy):
    """To the bit: dropout, the optimiser's state and the order of sums are those of the undisturbed one."""
    assert_equal(folder / f"{strategy}-interrupted-cut", folder / f"{strategy}-interrupted-whole")


def test_processes_draw_dropout_of_their_own(folder, strategy):
    """Else examples of the two shares would be dropped alike; so the losses are not those of one process."""
    project.train(folder / "dropout", project.run("frod", epochs=1), folder / f"{strategy}-one-dropout")
    one, several = tables(folder / f"{strategy}-one-dropout")[0], tables(folder / f"{strategy}-interrupted-whole")[0]
    assert abs(one["loss"].iloc[0] - several["loss"].iloc[0]) > 1e-3


def test_all_processes_see_the_divergence_of_one(folder, strategy):
    out = folder / f"{strategy}-diverging"
    said = [(out / f"said-{rank}.txt").read_text() for rank in range(2)]
    assert said[0] == said[1]
    assert said[0].startswith("diverged: step 3 of 21: loss nan")
    history, predictions = tables(out)
    assert len(history) == 3
    assert len(predictions) == 0


GOING_ON = "going on from the checkpoint after step "


def test_killed_processes_lose_nothing_and_leave_nothing(folder):
    """`frod train`, a process killed, then the launcher: it ends in what the undisturbed one ends in, to the bit."""
    out = folder / "dropout" / "killed"
    command = project.Command(folder / "dropout", project.long_run(), "sharded")
    _, (error,) = command.kill(out, "worker 1", checkpoints=4)
    assert "error: process 1 of 2 was killed by signal 9" in error
    assert not (out / "record.json").exists()
    lines, _ = command.kill(out, "launcher 0", checkpoints=4)
    assert lines[0].startswith(GOING_ON)
    assert command.finish(out).startswith(GOING_ON)
    record = json.loads((out / "record.json").read_text())
    assert record["resumed_from_step"] >= 8
    assert record["processes"] == {"count": 2, "sharded": True, "backend": "gloo", "gpus": 0, "threads": 1}
    assert_equal(out, folder / "sharded-interrupted-whole")


def test_two_machines_do_what_two_processes_of_one_do(folder, tmp_path):
    """To the bit; and those do what one process does. The next test ends in the same of sharded ones."""
    with two_machines() as machines:
        project.Command(folder, project.cases()["frod"], "ddp", machines).finish(tmp_path)
    assert_equal(tmp_path, folder / "ddp-frod")


def test_whatever_is_killed_on_either_machine_the_same_commands_go_on(folder, tmp_path):
    """Nothing lives on, on the other machine neither."""
    with two_machines() as machines:
        command = project.Command(folder / "dropout", project.long_run(), "sharded", machines)
        for i, victim in enumerate(["worker 1", "launcher 0", "launcher 1", "worker 0"]):
            lines, errors = command.kill(tmp_path, victim, checkpoints=3)
            assert lines[0].startswith(GOING_ON) == (i > 0), errors
        assert command.finish(tmp_path).startswith(GOING_ON)
    assert json.loads((tmp_path / "record.json").read_text())["resumed_from_step"] >= 12
    assert_equal(tmp_path, folder / "sharded-interrupted-whole")


def test_a_damaged_piece_of_a_checkpoint_is_noticed(folder):
    """By all processes, whichever wrote it: the training starts again, and leaves no piece of the old one."""
    out = folder / "sharded-damaged"
    assert [(out / f"resumed-{rank}.txt").read_text() for rank in range(2)] == ["0", "0"]
    assert not list(out.glob("checkpoint.step-*"))
    assert_equal(out, folder / "sharded-interrupted-whole")
