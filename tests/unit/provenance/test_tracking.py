"""MLflow shows what the files say, under either protocol: what it mixes up would be taken for the study's own."""

import json
import math

import pandas as pd
import pytest
from by_hand import write_run

from frod.cli.track import track
from frod.provenance import mlflow_entries, tracking


def write_trials(tune):
    """The choice between two trials, of which the second diverged."""
    tune.mkdir()
    spec = {
        "suite": "tiny",
        "task": "digits",
        "backbone": "digit_vit",
        "method": "frod",
        "seed": 100,
        "rates": {"lr": 0.1},
    }
    trial = {"spec": spec, "rates": {"lr": 0.1}, "budget": {"steps": 2}, "metric": "accuracy", "code": "c0de"}
    trial |= {"inputs": {"data/tasks/digits/vit/manifest.json": "ab" * 32}, "train_seconds": 1.5}
    trial |= {"started": "2026-01-01T00:00:00+00:00", "finished": "2026-01-01T00:00:02+00:00"}
    outcomes = [{"validation": 0.5, "undefined": None}, {"validation": None, "undefined": "diverged: step 1"}]
    for index, outcome in enumerate(outcomes):
        (tune / f"trial-{index}-seed-100.json").write_text(json.dumps(trial | outcome))
    chosen = {"rates": {"lr": 0.1}, "index": 0, "validation": 0.5, "metric": "accuracy", "trials": outcomes}
    chosen |= {"seeds": [100], "box": {"lr": [0.01, 1.0]}}
    chosen["inputs"] = {f"results/x/tune/trial-{index}-seed-100.json": "c0de" for index in range(2)}
    (tune / "rates.json").write_text(json.dumps(chosen))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """One for all tests: making its tables takes seconds."""
    return f"sqlite:///{tmp_path_factory.mktemp('store') / 'store.db'}"


@pytest.fixture
def logged(store, tmp_path, monkeypatch):
    """Log the runs of a suite below tmp_path; the client, and of each experiment asked for its one run."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("FROD_TRACKING", raising=False)

    def log(suite, *experiments):
        track(tmp_path / suite)
        client = MlflowClient(store)
        found = [client.search_runs([client.get_experiment_by_name(name).experiment_id]) for name in experiments]
        return client, *(run for (run,) in found)

    return log


def curve(client, run, name):
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name) if m.step]


def test_each_suite_and_protocol_has_its_experiment_its_curve_and_its_trials(tmp_path, logged):
    write_run(tmp_path, suite="tiny", validation_accuracy=[0.5, 0.75])
    write_run(
        tmp_path, suite="tiny/released", change=lambda record: record.update(tuning=None), test_accuracy=[0.5, 0.75]
    )
    client, audited, released = logged("tiny", "tiny", "tiny/released")
    assert curve(client, audited, "validation_accuracy") == [(1, 0.5), (2, 0.75)]
    assert curve(client, released, "test_accuracy") == [(1, 0.5), (2, 0.75)]
    assert audited.data.params["tuning.trials"] == "3"
    assert "tuning" not in " ".join(released.data.params)


def test_a_training_that_diverged_stands_as_failed_without_infinities(tmp_path, logged):
    said = "diverged: step 2 of 2: loss inf, gradient norm nan"
    write_run(
        tmp_path,
        suite="lost",
        change=lambda record: record.update(undefined=said),
        metrics_change=lambda metrics: metrics.update(undefined=said, metrics={}),
        loss=[2.0, math.inf],
    )
    client, run = logged("lost", "lost")
    assert (run.info.status, run.data.tags["frod.undefined"]) == ("FAILED", said)
    assert curve(client, run, "loss") == [(1, 2.0)]
    assert not [name for name in run.data.metrics if name.startswith("test_")]


@pytest.mark.parametrize(("steps", "points"), [(500, 500), (501, 251), (100_000, 500)])
def test_a_long_curve_is_thinned_and_keeps_its_last_point(steps, points):
    """Each run's share of the store is bounded, whatever its length; the whole curve stays in history.parquet."""
    history = pd.DataFrame({"step": range(1, steps + 1), "seconds": 1.0, "loss": 2.0, "validation_accuracy": math.nan})
    history.loc[steps // 2, "validation_accuracy"] = 0.5
    found = mlflow_entries.curves(history)
    loss = [step for name, _, _, step in found if name == "loss"]
    assert len(loss) == points
    assert loss[-1] == steps
    assert len(set(pd.Series(loss).diff().dropna())) == 1
    assert [(step, value) for name, value, _, step in found if name == "validation_accuracy"] == [(steps // 2 + 1, 0.5)]


@pytest.fixture
def tracked(tmp_path, monkeypatch):
    """A run with its trials and a report, tracked; the function returns its runs by name, again after each call."""
    from mlflow import MlflowClient

    store = f"sqlite:///{tmp_path / 'store.db'}"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.delenv("FROD_TRACKING", raising=False)
    write_run(tmp_path / "results", suite="tiny")
    write_trials(tmp_path / "results/tiny/digits/digit_vit/frod/tune")
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
    assert set(runs) == {
        "frod digits 0",
        "frod digits rates",
        "frod digits trial-0-seed-100",
        "frod digits trial-1-seed-100",
        "report",
    }
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    parent = runs["frod digits rates"].info.run_id
    for index, status in enumerate(("FINISHED", "FAILED")):
        trial = runs[f"frod digits trial-{index}-seed-100"]
        assert (trial.data.tags["mlflow.parentRunId"], trial.info.status) == (parent, status)
    assert runs["frod digits rates"].data.metrics == {"validation_accuracy": 0.5}
    run = runs["frod digits 0"]
    assert run.data.tags["mlflow.source.name"] == "frod train"
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("digits digit_vit", "cd" * 18)
    assert [(tag.key, tag.value) for tag in data.tags] == [("mlflow.data.context", "training")]
    report = runs["report"].info.run_id
    assert {one.path for one in client.list_artifacts(report)} == set(tracking.REPORT)
    assert [one.path for one in client.list_artifacts(report, "figures")] == ["figures/a.svg"]


def test_tracked_again_what_differs_is_replaced_and_the_rest_stays(tracked, tmp_path, capsys):
    def replaced():
        capsys.readouterr()
        before, now = dict(numbers), {name: run.info.run_id for name, run in tracked()[2].items()}
        numbers.update(now)
        assert set(now) == set(before)
        found = {name for name in now if now[name] != before[name]}
        assert f": {len(found)} of MLflow's runs logged, {5 - len(found)} there already" in capsys.readouterr().out
        return found

    client, _, runs = tracked()
    numbers = {name: run.info.run_id for name, run in runs.items()}
    assert replaced() == set()
    client.log_metric(numbers["frod digits 0"], "test_accuracy", 1.0)
    assert replaced() == {"frod digits 0"}
    client.set_tag(numbers["frod digits trial-1-seed-100"], "frod.code", "another")
    (tmp_path / "reports/tiny/report.json").write_text("another")
    assert replaced() == {"frod digits trial-1-seed-100", "report"}
    client.set_terminated(numbers["frod digits rates"], "FAILED")
    assert replaced() == {"frod digits rates", "frod digits trial-0-seed-100", "frod digits trial-1-seed-100"}, (
        "they are nested in it"
    )


def test_a_deleted_experiment_is_restored(tracked, capsys):
    client, experiment, _ = tracked()
    client.delete_experiment(experiment.experiment_id)
    _, found, runs = tracked()
    assert (found.lifecycle_stage, len(runs)) == ("active", 5)
    assert "experiment tiny was deleted in MLflow; restored" in capsys.readouterr().err


def test_processes_that_log_the_same_data_wait_for_each_other(tmp_path, monkeypatch):
    """MLflow adds a data set's row in two steps: a second process in between makes the first one fail."""
    from filelock import FileLock, Timeout

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.delenv("FROD_TRACKING", raising=False)
    write_run(tmp_path, suite="tiny")
    held = []

    def log_inputs(*_, **__):
        with pytest.raises(Timeout):
            FileLock(tmp_path / "store.db.lock", timeout=0, is_singleton=False).acquire()
        held.append(True)

    monkeypatch.setattr("mlflow.MlflowClient.log_inputs", log_inputs)
    track(tmp_path / "tiny")
    assert held == [True]
