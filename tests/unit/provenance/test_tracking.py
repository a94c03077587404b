"""MLflow shows what the files say, under either protocol: what it mixes up would be taken for the study's own."""

import json
import math

import pandas as pd
import pytest

from frod.cli.track import track
from frod.provenance import mlflow_entries, tracking


def write_run(results, suite, split, tuning):
    """Files of a run of two epochs, in which the split was looked at after steps 1 and 2."""
    folder = results / suite / "digits" / "vit" / "frod" / "seed-0"
    folder.mkdir(parents=True)
    record = {
        "run": {"suite": suite, "task": "digits", "backbone": "vit", "method": "frod", "seed": 0},
        "spec": {"rates": {"lr": 0.1}},
        "budget": {"steps": 2},
        "tuning": tuning,
        "code": {"hash": "c0de", "git_commit": None},
        "parameters": {"trainable": {"adapter": 3, "head": 2, "total": 5}, "base": 100},
        "resources": {"wall_seconds": 1.0},
        "inputs": {"data/tasks/digits/vit/manifest.json": "ab" * 32},
        "started": "2024-01-31T12:00:00+00:00",
        "finished": "2024-01-31T12:00:02+00:00",
    }
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "metrics.json").write_text(json.dumps({"metrics": {"test": {"accuracy": 0.75}}, "undefined": None}))
    history = {"step": [1, 2], "seconds": [0.5, 1.0], "loss": [2.0, 1.0], f"{split}_accuracy": [0.5, 0.75]}
    pd.DataFrame(history).to_parquet(folder / "history.parquet")


def write_trials(tune):
    """The choice between two trials, of which the second diverged."""
    tune.mkdir()
    spec = {"suite": "tiny", "task": "digits", "backbone": "vit", "method": "frod", "seed": 100, "rates": {"lr": 0.1}}
    trial = {"spec": spec, "rates": {"lr": 0.1}, "budget": {"steps": 2}, "metric": "accuracy", "code": "c0de"}
    trial |= {"inputs": {"data/tasks/digits/vit/manifest.json": "ab" * 32}, "train_seconds": 1.5}
    outcomes = [{"validation": 0.5, "undefined": None}, {"validation": None, "undefined": "diverged: step 1"}]
    for index, outcome in enumerate(outcomes):
        (tune / f"trial-{index}.json").write_text(json.dumps(trial | outcome))
    chosen = {"rates": {"lr": 0.1}, "index": 0, "validation": 0.5, "metric": "accuracy", "trials": outcomes}
    (tune / "rates.json").write_text(json.dumps(chosen))


def test_each_suite_and_protocol_has_its_experiment_its_curve_and_its_trials(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("FROD_TRACKING", raising=False)
    results = tmp_path / "results"
    write_run(results, "tiny", "validation", {"trials": 3, "seed": 100, "chosen": 1})
    write_run(results, "tiny/released", "test", None)
    track(results / "tiny")
    client = MlflowClient(store)
    runs = {}
    for name in ("tiny", "tiny/released"):
        (runs[name],) = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    curves = {
        name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, f"{split}_accuracy") if m.step]
        for (name, run), split in zip(runs.items(), ("validation", "test"))
    }
    assert curves == {"tiny": [(1, 0.5), (2, 0.75)], "tiny/released": [(1, 0.5), (2, 0.75)]}
    assert runs["tiny"].data.params["tuning.trials"] == "3"
    assert "tuning" not in " ".join(runs["tiny/released"].data.params)


def test_a_training_that_diverged_stands_as_failed_without_infinities(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("FROD_TRACKING", raising=False)
    write_run(tmp_path, "tiny", "validation", None)
    (folder,) = tmp_path.glob("tiny/*/*/*/seed-0")
    said = "diverged: step 2 of 2: loss inf, gradient norm nan"
    for name, change in (("record.json", {"undefined": said}), ("metrics.json", {"undefined": said, "metrics": {}})):
        (folder / name).write_text(json.dumps(json.loads((folder / name).read_text()) | change))
    pd.read_parquet(folder / "history.parquet").assign(loss=[2.0, math.inf]).to_parquet(folder / "history.parquet")
    track(tmp_path / "tiny")
    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert (run.info.status, run.data.tags["frod.undefined"]) == ("FAILED", said)
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "loss")] == [(1, 2.0)]
    assert not [name for name in run.data.metrics if name.startswith("test_")]


@pytest.mark.parametrize(("steps", "logged"), [(500, 500), (501, 251), (100_000, 500)])
def test_a_long_curve_is_thinned_and_keeps_its_last_point(steps, logged):
    """Each run's share of the store is bounded, whatever its length; the whole curve stays in history.parquet."""
    history = pd.DataFrame({"step": range(1, steps + 1), "seconds": 1.0, "loss": 2.0, "validation_accuracy": math.nan})
    history.loc[steps // 2, "validation_accuracy"] = 0.5
    points = mlflow_entries.curves(history)
    loss = [step for name, _, _, step in points if name == "loss"]
    assert len(loss) == logged
    assert loss[-1] == steps
    assert len(set(pd.Series(loss).diff().dropna())) == 1
    assert [(s, value) for name, value, _, s in points if name == "validation_accuracy"] == [(steps // 2 + 1, 0.5)]


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """A run with its trials and a report, tracked; the function returns its runs by name, again after each call."""
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("FROD_TRACKING", raising=False)
    write_run(tmp_path / "results", "tiny", "validation", {"trials": 2, "seed": 100, "chosen": 0})
    write_trials(tmp_path / "results/tiny/digits/vit/frod/tune")
    (tmp_path / "reports/tiny/figures").mkdir(parents=True)
    for name in ("report.json", *tracking.REPORT[:-1], "figures/a.svg"):
        (tmp_path / "reports/tiny" / name).write_text(name)
    client = MlflowClient(store)

    def runs():
        track(tmp_path / "results/tiny")
        experiment = client.get_experiment_by_name("tiny")
        return client, experiment, {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}

    return runs


def test_a_person_finds_runs_trials_data_and_the_report(tracked):
    client, experiment, runs = tracked()
    assert set(runs) == {"frod digits 0", "frod digits rates", "frod digits trial-0", "frod digits trial-1", "report"}
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    parent = runs["frod digits rates"].info.run_id
    for index, status in enumerate(("FINISHED", "FAILED")):
        trial = runs[f"frod digits trial-{index}"]
        assert (trial.data.tags["mlflow.parentRunId"], trial.info.status) == (parent, status)
    assert runs["frod digits rates"].data.metrics == {"validation_accuracy": 0.5}
    run = runs["frod digits 0"]
    assert run.data.tags["mlflow.source.name"] == "frod train"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits vit", "ab" * 18)
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    report = runs["report"].info.run_id
    assert {one.path for one in client.list_artifacts(report)} == set(tracking.REPORT)
    assert [one.path for one in client.list_artifacts(report, "figures")] == ["figures/a.svg"]


def test_tracked_again_all_stands_there_once(tracked):
    _, _, runs = tracked()
    _, _, again = tracked()
    assert set(again) == set(runs)
    assert {run.info.run_id for run in again.values()}.isdisjoint({run.info.run_id for run in runs.values()})


def test_a_deleted_experiment_is_restored(tracked, capsys):
    client, experiment, _ = tracked()
    client.delete_experiment(experiment.experiment_id)
    _, found, runs = tracked()
    assert (found.lifecycle_stage, len(runs)) == ("active", 5)
    assert "experiment tiny was deleted in MLflow; restored" in capsys.readouterr().err
