"""The whole way on a tiny suite: first run, second run, an edited parameter, Ctrl-C, MLflow, DVC on the real graph."""

import json
import os
import re
import shutil
import signal
import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import alterations
import pandas as pd
import pytest
from alterations import change, flip
from holds import Hold

from frod.files import sha256

METHODS = ["full_ft", "frod", "linear_probe"]
TINY = "workflow/suites/tiny.yaml"
RUN = "results/tiny/digits/digit_vit/{}/seed-0"


def rules(output):
    """Rules that a dry run lists, with the number of their jobs."""
    lines = [line.split() for line in output.splitlines()]
    return {parts[0]: int(parts[1]) for parts in lines if len(parts) == 2 and parts[1].isdigit()}


def test_the_report_and_all_runs_are_there(finished):
    assert {path.name for path in finished.path("reports/tiny").iterdir()} >= {"index.html", "results.csv"}
    assert sorted(pd.read_csv(finished.path("reports/tiny/results.csv"))["method"]) == sorted(METHODS)
    assert "Suite tiny" in finished.first_output  # the table at the end
    assert "steps (100%) done" in finished.first_output
    folder = finished.path("benchmarks")
    benchmarks = [path.relative_to(folder).parts[0] for path in folder.rglob("*.tsv")]
    assert sorted(benchmarks) == ["basis", *3 * ["train"], *6 * ["trial"]]


def test_a_basis_in_parts_is_the_same_basis(finished, tmp_path):
    name = "data/bases/digit_vit/ridge-0.001-float64"
    project = type(finished)(tmp_path / "project", tmp_path / "cache")
    shutil.copytree(finished.folder, project.folder, ignore=shutil.ignore_patterns("bases", "results"))
    project.edit("params.yaml", "parts: 1", "parts: 3")
    assert rules(project.snakemake("bases"))["basis_part"] == 3
    digests = [json.loads((p.path(name) / "manifest.json").read_text())["digest"] for p in (finished, project)]
    assert digests[0] == digests[1]
    assert [folder.name for folder in project.path("data/bases/digit_vit").iterdir()] == ["ridge-0.001-float64"]
    assert "Nothing to be done" in project.snakemake("bases")


@pytest.mark.parametrize(("method", "best"), [("full_ft", 0), ("frod", 1), ("linear_probe", 0)])
def test_rates_are_the_best_of_the_trials_and_all_trials_are_kept(finished, method, best):
    folder = finished.path(RUN.format(method)).parent / "tune"
    trials = [json.loads((folder / f"trial-{i}-seed-100.json").read_text()) for i in range(2)]
    assert [one["seed"] for one in trials] == [100, 100]
    assert trials[best]["validation"] > trials[1 - best]["validation"]
    record = json.loads(finished.path(f"{RUN.format(method)}/record.json").read_text())
    used = {name: rate for name, rate in record["spec"]["rates"].items() if rate is not None}
    assert used == trials[best]["rates"]
    assert record["tuning"] == {"trials": 2, "seeds": [100], "chosen": best}
    assert f"{RUN.format(method).removesuffix('/seed-0')}/tune/rates.json" in record["inputs"]
    page = finished.path("reports/tiny/index.html").read_text()
    assert "By trials, 2 a task" in page


def test_run_again_nothing_is_to_be_done(finished):
    """In seconds of the processor: those of the clock are many where the machine is busy."""
    began = os.times()
    place = {"cwd": finished.folder, "env": finished.environment()}
    said = subprocess.run(["snakemake", "--cores", "2"], **place, capture_output=True, text=True, check=True).stderr
    ended = os.times()
    assert "Nothing to be done" in said
    assert ended.children_user + ended.children_system - began.children_user - began.children_system < 10


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("params.yaml", "clip: 1.0", "clip: 2.0", {"trial": 6, "tune": 3, "train": 3, "evaluate": 3, "spectrum": 3}),
        (
            "params.yaml",
            "ridge: 1.0e-3",
            "ridge: 2.0e-3",
            {"basis": 1, "trial": 2, "tune": 1, "train": 1, "evaluate": 1, "spectrum": 1},
        ),
        (
            TINY,
            "rotation: 6.0e-3",
            "rotation: 7.0e-3",
            {"trial": 1, "tune": 1, "train": 1, "evaluate": 1, "spectrum": 1},
        ),
        (  # a second seed of the trials leaves those on the first
            TINY,
            "seeds: [0]",
            "seeds: [0]\ntune: { seeds: [100, 101] }",
            {"trial": 6, "tune": 3, "train": 3, "evaluate": 3, "spectrum": 3},
        ),
        (TINY, "lr_rotation: 5.0e-3", "lr_rotation: 4.0e-3", {}),  # of the other protocol
        (TINY, "title: Tiny", "title: Small", {"report": 1}),
        ("params.yaml", "checkpoint_seconds: 120", "checkpoint_seconds: 60", {}),
        ("params.yaml", "processes: 1 #", "processes: 2 #", {}),
        ("params.yaml", "mirror: null", "mirror: /nowhere", {}),
    ],
)
def test_only_what_depends_on_an_edit_runs_again(finished, name, old, new, expected):
    finished.edit(name, old, new)
    try:
        planned = rules(finished.snakemake("--dry-run", "--quiet", "rules"))
    finally:
        finished.edit(name, new, old)
    cheap = {"summarise", "report", "all", "total"}  # a minute's worth at most; they show titles and settings
    assert {rule: n for rule, n in planned.items() if rule not in cheap} == {
        rule: n for rule, n in expected.items() if rule not in cheap
    }
    assert set(expected) <= set(planned)


def test_snakemakes_own_report_has_the_figures_and_the_runs(finished, tmp_path):
    finished.snakemake("--report", tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"index.html", "claims.json", "results.csv", "spectrum-digits-digit_vit.svg", "frod.html"} <= names


def test_after_ctrl_c_the_same_command_ends_in_the_same_result(finished, tmp_path):
    """Interrupted inside a training; the adapter must be what it was, bit for bit, and come out so once more."""
    folder = finished.path(RUN.format("full_ft"))
    before = {name: sha256(folder / name) for name in ("adapter.safetensors", "predictions.parquet")}
    shutil.rmtree(folder)
    hold = Hold.of_training(tmp_path / "hold", checkpoints=3)
    process = subprocess.Popen(
        ["snakemake", "--cores", "1", f"{RUN.format('full_ft')}/record.json"],
        cwd=finished.folder,
        env=hold.environment(finished.environment()),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    hold.wait(process)
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    assert not (folder / "record.json").exists()
    said = finished.snakemake(f"{RUN.format('full_ft')}/metrics.json")
    assert "Suite tiny" not in said  # the report is of the run before
    assert json.loads((folder / "record.json").read_text())["resumed_from_step"] > 0
    assert {name: sha256(folder / name) for name in before} == before
    status, said = finished.frod("replay", folder)
    assert status == 0 and "the same, bit for bit" in said, said


def test_mlflow_has_one_run_per_training_also_after_a_rerun(finished):
    from mlflow import MlflowClient

    finished.snakemake("--forcerun", "evaluate", "--quiet", "all")
    client = MlflowClient(f"sqlite:///{finished.path('mlflow.db')}")
    experiment = client.get_experiment_by_name("tiny").experiment_id
    runs = {run.data.tags["frod.run"]: run for run in client.search_runs([experiment])}
    assert len(client.search_runs([experiment])) == len(runs)
    assert len([key for key in runs if "/seed-" in key]) == 3
    run = runs["tiny/digits/digit_vit/frod/seed-0"]
    folder = finished.path(RUN.format("frod"))
    assert run.info.status == "FINISHED"
    of_test = json.loads((folder / "metrics.json").read_text())["metrics"]["test"]
    assert run.data.metrics["test_accuracy"] == of_test["accuracy"]
    record = json.loads((folder / "record.json").read_text())
    assert run.data.metrics["parameters/trainable_adapter"] == record["parameters"]["trainable"]["adapter"]
    assert run.data.tags["frod.record"] == sha256(folder / "record.json")
    assert len(client.get_metric_history(run.info.run_id, "loss")) == record["budget"]["steps"]
    assert {json.loads(entry.dataset.source)["uri"] for entry in run.inputs.dataset_inputs} == set(record["inputs"])


def test_processes_that_open_a_new_store_at_once_all_log(finished, tmp_path):
    """SQLite's tables are made by the first; without a lock the other fails."""
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'new.db'}"}
    command = ("python", "-m", "frod", "track", "results/tiny", "--experiment")
    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda name: finished.run(*command, name, check=False, **store), ("e0", "e1")))
    assert [end.returncode for end in ends] == [0, 0], [end.stdout for end in ends]


def test_a_basis_comes_from_the_cache_unless_the_entry_is_damaged(finished):
    name = "digit_vit/ridge-0.001-float64"
    basis = finished.path(f"data/bases/{name}/basis.safetensors")
    made = sha256(basis)
    for taken in (True, False):
        shutil.rmtree(finished.path("data/bases"))
        finished.snakemake("bases")
        assert ("taken from the cache" in finished.path(f"logs/basis/{name}.log").read_text()) == taken
        assert sha256(basis) == made
        for entry in finished.cache.rglob("basis.safetensors"):
            flip(entry)


def test_a_clone_that_pulls_from_dvc_has_nothing_to_do(finished, tmp_path):
    finished.snakemake()
    finished.run("dvc", "remote", "add", "--default", "--force", "store", tmp_path / "remote")
    finished.run("python", "-m", "frod.pipeline.commit")
    finished.commit("results")
    assert "Data and pipelines are up to date" in finished.run("dvc", "repro").stdout
    finished.run("dvc", "push", "--quiet")
    finished.git("clone", "--quiet", finished.folder, tmp_path / "clone")
    other = type(finished)(tmp_path / "clone", tmp_path / "empty-cache")
    other.run("dvc", "pull", "--quiet")
    assert "Nothing to be done" in other.snakemake("--dry-run")
    other.edit("params.yaml", "clip: 1.0", "clip: 2.0")
    assert rules(other.snakemake("--dry-run", "--quiet", "rules"))["train"] == 3


def test_the_released_protocol_has_its_own_arrays_runs_and_report(finished):
    """Test is what is looked at after each epoch; the best epoch's figure stands next to the last one's."""

    def audited(report):
        found = alterations.audited(finished.folder, report)
        return [line for line in found if "dvc.lock" not in line]  # which has not been told of it

    run = RUN.format("linear_probe").replace("tiny/", "tiny/released/")
    before = sha256(finished.path("reports/tiny/index.html"))
    suite = finished.path(TINY).read_text()
    finished.path(TINY).write_text(
        re.sub(r"(?m)^ +((full_ft|frod):|- { lr_scale).*\n", "", suite)
    )  # one method will do
    finished.commit("the probe alone")
    finished.snakemake("--config", "protocol=released")
    record = json.loads(finished.path(f"{run}/record.json").read_text())
    assert (record["protocol"], record["tuning"]) == ("released", None)
    metrics = json.loads(finished.path(f"{run}/metrics.json").read_text())["metrics"]
    assert set(metrics) == {"test", "test_best_epoch"}
    assert "Released protocol" in finished.path("reports/tiny/released/index.html").read_text()
    assert audited("reports/tiny/released") == []
    change(finished.path(f"{run}/record.json"), lambda record: record["evaluations"].update(test=2))
    assert any("evaluations.test: expected 1, found 2" in line for line in audited("reports/tiny/released"))
    finished.path(TINY).write_text(suite)
    assert sha256(finished.path("reports/tiny/index.html")) == before
    assert audited("reports/tiny") == []
    assert "Nothing to be done" in finished.snakemake("--dry-run")
