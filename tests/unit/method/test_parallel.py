"""Several processes through accelerate: a step under DDP or FSDP2 has the gradients of one process on the joined batch,
and what is saved from a sharded model is the whole adapter.

Two processes on the CPU (gloo) run parallel_worker.py once; expected values are computed here, in one process.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import parallel_worker as worker
import pytest
import torch
from safetensors.torch import load_file
from toy import PLANS, assert_equal, gradients, outputs

import frod

SECONDS = 300
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the processes wrote."""
    folder = tmp_path_factory.mktemp("parallel")
    frod.save_adapter(worker.adapted("auto")[0], folder / "start.safetensors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(worker.__file__)
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(worker.PROCESSES)}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder)],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(worker.PROCESSES)
    ]
    try:
        said = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert all(process.returncode == 0 for process in processes), "\n".join(said)
    return folder


@pytest.fixture(scope="module")
def notes(folder):
    return json.loads((folder / "notes.json").read_text())


def joined(plan, dtype=torch.float32):
    """The model of a single process with its gradients: of the whole batch, whose loss is the processes' mean."""
    model, _ = worker.adapted(plan, dtype)
    worker.loss(model, worker.examples(dtype)).backward()
    return model


@pytest.mark.parametrize("how", ["whole", "accumulated"])
@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("case", ["ddp", "fsdp"])
def test_gradients_are_those_of_the_joined_batch(folder, case, plan, how):
    found = load_file(folder / f"{case}-{plan}-{how}.safetensors")
    assert_equal(found, gradients(joined(plan)), **CLOSE)


@pytest.mark.parametrize("case", ["ddp-materialised", "fsdp-materialised", "accumulate"])
def test_accumulation_forms_and_projects_once_a_step(notes, case):
    layers = notes[case]["layers"]
    assert layers == 8
    assert notes[case] | {"form_weight": layers, "project": layers} == notes[case]


def test_accelerates_own_accumulation(folder):
    assert_equal(load_file(folder / "accumulate.safetensors"), gradients(joined("materialised")), **CLOSE)


@pytest.mark.parametrize("plan", PLANS)
def test_a_layer_that_the_last_micro_batch_skips_keeps_its_gradient_under_ddp(folder, plan):
    """And all processes have the same: it is part of what DDP averages."""
    model = worker.skipping(plan)
    for rank in range(worker.PROCESSES):
        x = worker.examples()[rank :: worker.PROCESSES]
        ((worker.loss(model, x[1:]) + worker.loss(model, x[:1])) / worker.PROCESSES).backward()
    assert_equal(load_file(folder / f"skipped-{plan}.safetensors"), gradients(model), **CLOSE)


def test_under_fsdp_it_is_refused(notes):
    assert "had no part in the last micro-batch" in notes["skipped"]
    assert "Leave frod.accumulating out" in notes["skipped"]


@pytest.mark.parametrize("plan", PLANS)
def test_ddp_leaves_the_basis_where_it_is(notes, plan):
    """It would send V to the other processes at every step: one that differs there, on purpose, keeps what it has."""
    assert notes[f"ddp-{plan}"]["V_stays"]


def test_float32_adapters_on_a_sharded_bfloat16_model(folder):
    found = load_file(folder / "half-whole.safetensors")
    assert {t.dtype for name, t in found.items() if "head" not in name} == {torch.float32}
    assert_equal(found, gradients(joined("materialised", torch.bfloat16)), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("plan", PLANS)
def test_an_adapter_saved_from_a_sharded_model_is_whole(folder, plan):
    """It is the one that a single process gets by the same step, and loads into a plain model."""
    model = joined(plan)
    torch.optim.SGD(frod.parameter_groups(model, **worker.RATES)).step()
    path = folder / f"fsdp-{plan}-adapter.safetensors"
    frod.save_adapter(model, folder / "single.safetensors")
    assert_equal(load_file(path), load_file(folder / "single.safetensors"), **CLOSE)
    trained = load_file(folder / f"fsdp-{plan}-outputs.safetensors")["trained"]
    other, basis = worker.adapted(plan)
    frod.load_adapter(other, path, basis)
    torch.testing.assert_close(outputs(other, worker.examples()), trained, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("plan", PLANS)
def test_the_weights_of_a_sharded_model_are_folded_as_merging_folds_them(folder, plan):
    """From the state that accelerate gathers in the first process."""
    merged, basis = worker.adapted(plan)
    frod.load_adapter(merged, folder / f"fsdp-{plan}-adapter.safetensors", basis)
    expected = frod.merge(merged).state_dict()
    found = load_file(folder / f"fsdp-{plan}-state.safetensors")
    assert expected.keys() == {key for key in found if ".adapters." not in key}
    assert_equal({key: found[key] for key in expected}, expected, rtol=0, atol=0)


@pytest.mark.parametrize("plan", PLANS)
def test_an_adapter_loads_into_a_sharded_model(folder, plan):
    """In evaluation, where the weight of the adapter before must not be kept."""
    found = load_file(folder / f"fsdp-{plan}-outputs.safetensors")
    expected = outputs(worker.adapted(plan)[0], worker.examples())
    torch.testing.assert_close(found["start"], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found["again"], found["trained"])
    assert (found["start"] - found["trained"]).abs().max() > 1e-2


def test_a_lambda_rounded_by_the_wrapper_is_refused(notes):
    assert "lambda arrives in torch.bfloat16" in notes["rounded"]
    assert "MixedPrecisionPolicy()" in notes["rounded"]


@pytest.mark.parametrize("case", ["ddp", "fsdp"])
def test_what_a_wrapped_model_cannot_do_is_refused_with_the_remedy(notes, case):
    refused = notes[f"{case}-refused"]
    assert "attach to the plain model, then wrap it" in refused["attach"]
    assert "attach to the plain model, then wrap it" in refused["load_adapter"]
    assert "Set the adapter before it is wrapped" in refused["set_adapter"]
    if case == "fsdp":
        assert "load it into the plain model, and merge there" in refused["merge"]


def test_an_adapter_is_saved_through_ddps_wrapper(folder):
    start = load_file(folder / "start.safetensors")
    for rank in range(worker.PROCESSES):
        assert_equal(load_file(folder / f"ddp-{rank}.safetensors"), start, rtol=0, atol=0)


def test_a_wrapper_that_flattens_parameters_is_refused(tmp_path):
    """As FSDP of the first version leaves them: with nothing in most processes."""
    model, _ = worker.adapted("auto")
    model.blocks[0].up.adapter.scale = torch.nn.Parameter(torch.zeros(0))
    with pytest.raises(ValueError, match=r"shape \(0,\) instead of \(8,\).*fsdp_version=2"):
        frod.save_adapter(model, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())
