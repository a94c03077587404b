"""MLflow shows what the files say, under either protocol: what it mixes up would be taken for the study's own."""

import math

import pandas as pd
import pytest
from by_hand import write_run

from frod.cli.track import track
from frod.provenance import tracking


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
    found = tracking.curves(history)
    loss = [point.step for point in found if point.key == "loss"]
    assert len(loss) == points
    assert loss[-1] == steps
    assert len(set(pd.Series(loss).diff().dropna())) == 1
    assert [(p.step, p.value) for p in found if p.key == "validation_accuracy"] == [(steps // 2 + 1, 0.5)]
