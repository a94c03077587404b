"""A finished run can be done again from its record alone, bit for bit; what was changed behind the record's back is
found: in the code, the inputs, the record or the results. And its spectrum and sharpness are part of the workflow."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from alterations import change, flip, kept
from forgeries_records import rewrite
from forgeries_trials import one_more_right, settle
from safetensors.torch import load_file
from scipy.special import softmax
from sklearn.metrics import log_loss

from frod.files import sha256

METHODS = ("full_ft", "frod", "linear_probe")
RUNS, TASK = "results/tiny/digits/digit_vit", "data/tasks/digits/digit_vit"


def replay(project, name, *arguments, **environment):
    """The exit status of a replay and its output."""
    return project.frod("replay", f"{RUNS}/{name}", *arguments, **environment)


def state(folder):
    """Every file below a folder with its bytes and time."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def copied(finished):
    """The FRoD run's folder next to itself, to alter."""
    folder = finished.path(f"{RUNS}/altered/seed-0")
    shutil.copytree(finished.path(f"{RUNS}/frod/seed-0"), folder)
    yield folder
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("method", ["full_ft", "linear_probe"])  # FRoD's is in the tests that follow
def test_a_replay_is_the_same_bit_for_bit_and_writes_nothing(finished, method):
    before = state(finished.path("results"))
    status, text = replay(finished, f"{method}/seed-0")
    assert status == 0, text
    assert "the same, bit for bit" in text
    assert "step 10/" in text  # progress, as in training
    assert state(finished.path("results")) == before


def test_a_trial_can_be_replayed(finished):
    status, text = replay(finished, "frod/tune/trial-1-seed-100.json")
    assert status == 0, text
    assert "the same, bit for bit" in text
    assert all(what in text for what in ("validation_accuracy", "history", "predictions"))


def test_a_trial_forged_in_all_its_files_is_found(finished):
    """The audit passes it: figure, predictions, last figure of the history and hashes agree."""
    tune = f"{RUNS}/frod/tune"
    with kept(finished.folder, tune):
        path = finished.path(f"{tune}/trial-0-seed-100.json")
        rewrite(path.with_suffix(".predictions.parquet"), one_more_right)
        settle(finished.folder, last=True, tune=tune)
        status, text = replay(finished, "frod/tune/trial-0-seed-100.json")
    assert status == 1
    assert "not the same bit for bit: validation_accuracy, predictions: classes, predictions: scores, history:" in text


def test_a_trial_s_altered_file_is_found(finished):
    with kept(finished.folder, f"{RUNS}/frod/tune"):
        rewrite(finished.path(f"{RUNS}/frod/tune/trial-0-seed-100.predictions.parquet"), one_more_right)
        status, text = replay(finished, "frod/tune/trial-0-seed-100.json")
        assert status == 1 and "not the same bit for bit: record: files, predictions: classes" in text
        finished.path(f"{RUNS}/frod/tune/trial-0-seed-100.history.parquet").unlink()
        status, text = replay(finished, "frod/tune/trial-0-seed-100.json")
    assert status == 1 and "tune/trial-0-seed-100.history.parquet: is not there" in text and "step 10/" not in text


def test_hash_seed_language_and_form_of_the_name_do_not_matter_and_kept_files_are_those_of_the_run(finished, tmp_path):
    around = {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    status, text = replay(finished, "frod/seed-0/record.json", "--keep", tmp_path / "again", **around)
    assert status == 0 and "the same, bit for bit" in text, text
    names = {"adapter.safetensors", "history.parquet", "metrics.json", "predictions.parquet"}
    assert {path.name for path in (tmp_path / "again").iterdir()} == names
    for name in ("adapter.safetensors", "metrics.json"):
        assert (tmp_path / "again" / name).read_bytes() == finished.path(f"{RUNS}/frod/seed-0/{name}").read_bytes()
    status, text = replay(finished, "frod/seed-0", "--keep", tmp_path / "again")
    assert status == 1 and "is there already" in text


def test_one_bit_of_the_adapter_is_found(finished, copied):
    flip(copied / "adapter.safetensors")
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "not the same bit for bit: record: files, adapter;" in text


def test_one_prediction_and_the_metrics_that_follow_are_found(finished, copied):
    path = copied / "predictions.parquet"
    table = pd.read_parquet(path)
    row = int(np.flatnonzero(table["split"] == "test")[0])
    table.loc[row, "prediction"] = (table.loc[row, "prediction"] + 1) % 10
    table.to_parquet(path, index=False)
    better = {"accuracy": json.loads((copied / "metrics.json").read_text())["metrics"]["test"]["accuracy"] + 1 / 360}
    change(copied / "metrics.json", lambda metrics: metrics["metrics"]["test"].update(better))
    # A forger who knows of the hashes mends them.
    mended = {f"{RUNS}/frod/seed-0/predictions.parquet": sha256(path)}
    change(copied / "record.json", lambda record: record["outputs"].update(mended))
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "not the same bit for bit: predictions: classes, metrics: test accuracy;" in text
    assert f"example {table.loc[row, 'example_id']}" in text


def test_a_record_of_another_rate_is_found(finished, copied):
    faster = {"lr_scale": 0.02}
    change(copied / "record.json", lambda record: record["spec"]["rates"].update(faster))
    status, text = replay(finished, "altered/seed-0")
    assert status == 1
    assert "spec.rates are" in text and "chose" in text and "the record was changed" in text
    assert "step 10/" not in text  # said before the training
    # Without the trials' file nothing speaks against the record but the result.
    change(copied / "record.json", lambda record: record["inputs"].pop(f"{RUNS}/frod/tune/rates.json"))
    status, text = replay(finished, "altered/seed-0", "--tolerance", "0.05")
    assert status == 1
    assert "not the same within a share of 0.05: adapter, predictions: classes" in text


def test_a_record_of_another_seed_is_found(finished, copied):
    change(copied / "record.json", lambda record: record["spec"].update(seed=1))
    status, text = replay(finished, "altered/seed-0", "--tolerance", "0.05")
    assert status == 1
    assert "record: seeds" in text and "adapter" in text


@pytest.mark.parametrize(
    ("name", "alter", "said"),
    [
        ("manifest.json", lambda path: path.write_text(path.read_text() + " "), "at the recorded commit"),
        ("manifest.json", Path.unlink, "at the recorded commit"),
        ("train.labels.npy", flip, "sha256 is"),
    ],
    ids=["altered", "missing", "array"],
)
def test_a_changed_input_is_named_before_training(finished, name, alter, said):
    with kept(finished.folder, TASK):
        alter(finished.path(f"{TASK}/{name}"))
        status, text = replay(finished, "frod/seed-0")
    assert status == 1
    assert f"{TASK}/{name}: " in text and said in text
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


def test_other_code_is_refused_with_the_commit_unless_it_is_asked_for(finished):
    commit = finished.git("rev-parse", "HEAD").strip()
    with kept(finished.folder, "frod/training/schedule.py"):
        finished.edit("frod/training/schedule.py", "import math\n", "import math\n\nUNUSED = 1\n")
        status, refused = replay(finished, "frod/seed-0")
        again, accepted = replay(finished, "frod/seed-0", "--other-code")
    assert status == 1 and f"check out its commit {commit}" in refused and "--other-code" in refused
    assert again == 0 and "note: the code that trains is" in accepted and "the same, bit for bit" in accepted


def test_another_number_of_threads_is_held_to_a_tolerance(finished):
    status, text = replay(finished, "full_ft/seed-0", "--threads", "2")
    assert status == 0, text
    assert "note: threads: 2 here, 1 recorded" in text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_such/seed-0", "there is no such record"),
        ("frod/tune/rates.json", "is no trial"),
        ("frod/spectrum.parquet", "spectrum.parquet: cannot be read"),
    ],
)
def test_what_is_no_run_is_named(finished, name, said):
    status, text = replay(finished, name)
    assert status == 1 and said in text and "Traceback" not in text


RESTORED = """\
from frod import numerics
numerics.apply()
import sys, numpy as np, pandas as pd, frod
from pathlib import Path
from frod.runs import restore
from frod.runs.finished_run import Finished
from frod.tasks import arrays
from frod.training.predict import predict
numerics.hold(1)
for folder in map(Path, sys.argv[1:]):
    run = Finished.read(folder)
    basis = frod.Basis.load(run.basis) if run.basis else None
    model = restore.start(run.run, run.backbone, arrays.load_manifest(run.task), basis)
    restore.load_trained(model, folder / "adapter.safetensors", run.run.adapter.kind, basis)
    old = pd.read_parquet(folder / "predictions.parquet").query("split == 'test'")
    split = arrays.load_split(run.task, "test")
    size = 4 * run.run.training.batch_size
    new = predict(model, split, np.arange(len(split)), split="test", batch_size=size, device="cpu")
    print(run.run.method, np.array_equal(np.stack(old["scores"]), np.stack(new["scores"])), len(new))
"""


@pytest.fixture(scope="module")
def restored(finished):
    """What each method's model predicts, against what its run did."""
    runs = [f"{RUNS}/{method}/seed-0" for method in METHODS]
    return finished.run("python", "-c", RESTORED, *runs, OMP_NUM_THREADS="1").stdout.splitlines()


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_model_predicts_what_the_run_did(restored, method):
    """So the spectrum is of the model whose figures are reported."""
    assert f"{method} True 360" in restored


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


def test_the_workflow_has_the_sharpness_of_every_method(finished):
    """On all of digits' 180 examples of validation: the loss in place is that of the run's own predictions."""
    for method in METHODS:
        table = pd.read_parquet(finished.path(f"{RUNS}/{method}/sharpness.parquet"))
        assert table["step"].tolist() == [0.0, *[-0.05, 0.05] * 3] and set(table["examples"]) == {180}
        predictions = pd.read_parquet(finished.path(f"{RUNS}/{method}/seed-0/predictions.parquet"))
        validation = predictions[predictions["split"] == "validation"]
        each = log_loss(validation["label"], softmax(np.stack(validation["scores"]), axis=1), labels=range(10))
        assert table["loss"].iloc[0] == pytest.approx(each, rel=2e-5)


def test_the_spectrum_is_made_anew_with_its_run(finished):
    finished.path(f"{RUNS}/frod/spectrum.parquet").unlink()
    assert "Nothing to be done" not in finished.snakemake("-n", "runs")
    finished.snakemake("runs")
    assert finished.path(f"{RUNS}/frod/spectrum.parquet").is_file()
    assert "Nothing to be done" in finished.snakemake("-n", "runs")
