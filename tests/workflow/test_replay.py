"""A finished run can be done again from its record alone, bit for bit; what was changed behind the record's back is
found: in the code, the inputs, the record or the results. And its spectrum is part of the workflow."""

import hashlib
import json
import os
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import torch
from holds import Hold
from safetensors.torch import load_file

METHODS = ("full_ft", "frod", "linear_probe")
RUNS = "results/tiny/digits/digit_vit"


def replay(project, name, *arguments, **environment):
    """The exit status of a replay and its output."""
    done = project.run("python", "-m", "frod", "replay", f"{RUNS}/{name}", *arguments, check=False, **environment)
    return done.returncode, done.stdout


def state(folder):
    """Every file below a folder with its bytes and time."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copied(finished):
    """The FRoD run's folder beside itself, to alter."""
    folder = finished.path(f"{RUNS}/altered/seed-0")
    shutil.copytree(finished.path(f"{RUNS}/frod/seed-0"), folder)
    yield folder
    shutil.rmtree(folder.parent)


def alter_record(folder, change):
    path = folder / "record.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("method", METHODS)
def test_a_replay_is_the_same_bit_for_bit_and_writes_nothing(finished, method):
    before = state(finished.path("results"))
    status, text = replay(finished, f"{method}/seed-0")
    assert status == 0, text
    assert "the same, bit for bit" in text
    assert "step 10/" in text  # progress, as in training
    assert state(finished.path("results")) == before


def test_neither_hash_seed_nor_language_nor_form_of_the_name_matter(finished):
    status, text = replay(finished, "frod/seed-0/record.json", PYTHONHASHSEED="1", LC_ALL="C", TZ="Asia/Tokyo")
    assert status == 0 and "the same, bit for bit" in text, text


def test_a_trial_can_be_replayed(finished):
    status, text = replay(finished, "frod/tune/trial-1.json")
    assert status == 0, text
    assert "the same, bit for bit" in text and "validation_accuracy" in text


def test_kept_files_are_those_of_the_run(finished, tmp_path):
    status, text = replay(finished, "frod/seed-0", "--keep", tmp_path / "again")
    assert status == 0, text
    names = {"adapter.safetensors", "history.parquet", "metrics.json", "predictions.parquet"}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    for name in ("adapter.safetensors", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == finished.path(f"{RUNS}/frod/seed-0/{name}").read_bytes()
    status, text = replay(finished, "frod/seed-0", "--keep", tmp_path / "again")
    assert status == 1 and "is there already" in text


def test_one_bit_of_the_adapter_is_found(finished, copied):
    path = copied / "adapter.safetensors"
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "not the same bit for bit: record: files, adapter;" in text


def test_one_prediction_and_the_metrics_that_follow_are_found(finished, copied):
    path = copied / "predictions.parquet"
    table = pd.read_parquet(path)
    row = int(np.flatnonzero(table["split"] == "test")[0])
    table.loc[row, "prediction"] = (table.loc[row, "prediction"] + 1) % 10
    table.to_parquet(path, index=False)
    metrics = json.loads((copied / "metrics.json").read_text())
    metrics["metrics"]["test"]["accuracy"] += 1 / 360
    (copied / "metrics.json").write_text(json.dumps(metrics))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # A forger who knows of the hashes mends them.
    alter_record(copied, lambda record: record["outputs"].update({f"{RUNS}/frod/seed-0/predictions.parquet": digest}))
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "not the same bit for bit: predictions: classes, metrics: test accuracy;" in text
    assert f"example {table.loc[row, 'example_id']}" in text


def test_a_record_of_another_rate_is_found(finished, copied):
    def faster(record):
        record["spec"]["rates"]["lr_scale"] *= 2

    alter_record(copied, faster)
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "spec.rates are" in text and "chose" in text and "the record was changed" in text
    assert "step 10/" not in text  # said before the training
    # Without the trials' file nothing speaks against the record but the result.
    alter_record(
        copied, lambda record: [record["inputs"].pop(name) for name in list(record["inputs"]) if "rates" in name]
    )
    status, text = replay(finished, "altered/seed-0", "--tolerance", "0.05")
    assert status == 1
    assert "not the same within a share of 0.05: adapter, predictions: classes" in text


def test_a_record_of_another_seed_is_found(finished, copied):
    alter_record(copied, lambda record: record["spec"].update(seed=1))
    status, text = replay(finished, "altered/seed-0", "--tolerance", "0.05")
    assert status == 1
    assert "record: seeds" in text and "adapter" in text


def test_a_run_that_was_resumed_is_the_same(finished, copied, tmp_path):
    """Interrupted after its first checkpoint and gone on with, as Snakemake does it."""
    record = json.loads((copied / "record.json").read_text())
    inputs = {name.rpartition("/")[2]: name for name in record["inputs"]}
    basis = [name for name in record["inputs"] if "/bases/" in name]
    task = next(name for name in record["inputs"] if "/tasks/" in name)
    options = {"--spec": json.dumps(record["spec"] | {"rates": None}), "--backbone": inputs["source.json"]}
    options |= {"--task": task, "--basis": basis[0], "--rates": inputs["rates.json"]}
    for name in ("--backbone", "--task", "--basis"):
        options[name] = options[name].rpartition("/")[0]
    command = ["python", "-m", "frod", "train", "--out", f"{RUNS}/altered/seed-0"]
    command += [text for pair in options.items() for text in pair]
    hold = Hold.of_training(tmp_path / "hold", checkpoints=2)
    around = hold.environment(finished.environment())
    training = subprocess.Popen(command, cwd=finished.folder, env=around, stdout=subprocess.DEVNULL)
    hold.wait(training)
    training.kill()
    training.wait()
    finished.run(*command)
    assert json.loads((copied / "record.json").read_text())["resumed_from_step"] > 0
    finished.run("python", "-m", "frod", "evaluate", "--run", f"{RUNS}/altered/seed-0", "--task", options["--task"])
    status, text = replay(finished, "altered/seed-0")
    assert status == 0 and "the same, bit for bit" in text, text


@pytest.mark.parametrize("change", ["altered", "missing"])
def test_a_changed_input_is_named_before_training(finished, change):
    path = finished.path("data/tasks/digits/digit_vit/manifest.json")
    content = path.read_bytes()
    try:
        path.write_bytes(content + b" ") if change == "altered" else path.unlink()
        status, text = replay(finished, "frod/seed-0")
    finally:
        path.write_bytes(content)
    assert status == 1
    assert "data/tasks/digits/digit_vit/manifest.json: " in text and "at the recorded commit" in text
    assert "step 10/" not in text and "Traceback" not in text


@pytest.mark.parametrize("name", ["adapter.safetensors", "history.parquet", "predictions.parquet", "metrics.json"])
def test_a_file_of_the_run_that_is_cut_short_or_missing_is_named_before_training(finished, copied, name):
    path = copied / name
    for damage, said in (
        (lambda: os.truncate(path, 50), "it was changed or cut short ("),
        (path.unlink, "is not there; "),
    ):
        damage()
        status, text = replay(finished, "altered/seed-0")
        assert status == 1
        assert f"{RUNS}/altered/seed-0/{name}: " in text and said in text and "`dvc checkout`" in text
        assert "step 10/" not in text and "Traceback" not in text


def test_a_changed_array_is_named(finished):
    path = finished.path("data/tasks/digits/digit_vit/train.labels.npy")
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        status, text = replay(finished, "frod/seed-0")
    finally:
        path.write_bytes(content)
    assert status == 1
    assert "train.labels.npy: sha256 is" in text and "Traceback" not in text


def test_other_code_is_refused_with_the_commit_unless_it_is_asked_for(finished):
    commit = finished.git("rev-parse", "HEAD").strip()
    name = "frod/training/schedule.py"
    text = finished.path(name).read_text()
    try:
        finished.path(name).write_text(text + "\n\nUNUSED = 1\n")
        status, refused = replay(finished, "frod/seed-0")
        again, accepted = replay(finished, "frod/seed-0", "--other-code")
    finally:
        finished.path(name).write_text(text)
    assert status == 1 and f"check out its commit {commit}" in refused and "--other-code" in refused
    assert again == 0 and "note: the code that trains is" in accepted and "the same, bit for bit" in accepted


def test_another_number_of_threads_is_held_to_a_tolerance(finished):
    status, text = replay(finished, "full_ft/seed-0", "--threads", "2")
    assert status == 0, text
    assert "note: threads: 2 here, 1 recorded" in text


def test_what_is_no_run_is_named(finished):
    status, text = replay(finished, "no_such/seed-0")
    assert status == 1 and "there is no such record" in text
    status, text = replay(finished, "frod/tune/rates.json")
    assert status == 1 and "is no trial" in text
    status, text = replay(finished, "frod/spectrum.parquet")
    assert status == 1 and "spectrum.parquet: cannot be read" in text and "Traceback" not in text


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_model_predicts_what_the_run_did(finished, method):
    """So the spectrum is of the model whose figures are reported."""
    code = f"""
from frod import numerics
numerics.apply()
import numpy as np, pandas as pd, frod
from pathlib import Path
from frod.runs import restore
from frod.runs.finished_run import Finished
from frod.tasks import arrays
from frod.training.predict import predict
numerics.hold(1)
run = Finished.read(Path("{RUNS}/{method}/seed-0"))
basis = frod.Basis.load(run.basis) if run.basis else None
model = restore.start(run.run, run.backbone, arrays.load_manifest(run.task), basis)
restore.load_trained(model, run.path.parent / "adapter.safetensors", run.run.adapter.kind, basis)
old = pd.read_parquet(run.path.parent / "predictions.parquet").query("split == 'test'")
split = arrays.load_split(run.task, "test")
size = 4 * run.run.training.batch_size
new = predict(model, split, np.arange(len(split)), split="test", batch_size=size, device="cpu")
print(np.array_equal(np.stack(old["scores"]), np.stack(new["scores"])), len(new))
"""
    assert finished.run("python", "-c", code, OMP_NUM_THREADS="1").stdout.split()[-2:] == ["True", "360"]


def test_the_workflow_has_the_spectrum_of_every_method(finished):
    tables = {method: pd.read_parquet(finished.path(f"{RUNS}/{method}/spectrum.parquet")) for method in METHODS}
    assert len(tables["linear_probe"]) == 0
    assert list(tables["linear_probe"]) == list(tables["frod"])
    for method in ("full_ft", "frod"):
        table = tables[method]
        assert len(table) == 4 * 6 and table["seed"].unique().tolist() == [0]
        assert (table["weight_norm"] > 0).all()
    stored = load_file(finished.path("data/models/digit_vit/model.safetensors"))
    trained = load_file(finished.path(f"{RUNS}/full_ft/seed-0/adapter.safetensors"))
    row = tables["full_ft"].set_index("layer").loc["blocks.1.mlp.fc2"]
    change = trained["blocks.1.mlp.fc2.weight"].double() - stored["blocks.1.mlp.fc2.weight"].double()
    np.testing.assert_allclose(row["singular_values"], torch.linalg.svdvals(change), rtol=1e-10, atol=1e-15)


def test_the_spectrum_is_made_anew_with_its_run(finished):
    finished.path(f"{RUNS}/frod/spectrum.parquet").unlink()
    assert "Nothing to be done" not in finished.snakemake("-n", "runs")
    finished.snakemake("runs")
    assert finished.path(f"{RUNS}/frod/spectrum.parquet").is_file()
    assert "Nothing to be done" in finished.snakemake("-n", "runs")
