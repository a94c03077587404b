"""One row per run, and no comparison of runs that had different budgets, data or predictions."""

import hashlib
import math

import pandas as pd
import pytest
from by_hand import write_run

from frod.evaluation.summary import summarise


def test_a_row_holds_what_the_files_say(tmp_path):
    directory = write_run(tmp_path)
    (row,) = summarise([directory]).to_dict("records")
    assert (row["task"], row["method"], row["seed"], row["primary"]) == ("digits", "frod", 0, "accuracy")
    assert (row["test"], row["test_accuracy"], row["test_f1"], row["validation_f1"]) == (0.9, 0.9, 0.8, 0.5)
    assert math.isnan(row["validation"]) and math.isnan(row["peak_gpu_bytes"])
    assert (row["protocol"], row["trials"]) == ("audited", 3)
    assert (row["adapter_parameters"], row["head_parameters"], row["base_parameters"]) == (100, 50, 10_000)
    assert row["record_sha256"] == hashlib.sha256((directory / "record.json").read_bytes()).hexdigest()


def test_rows_come_sorted_whatever_the_order_given(tmp_path):
    directories = [write_run(tmp_path, method, seed) for method in ("lora", "frod") for seed in (2, 1)]
    summary = summarise(directories)
    assert summary.equals(summarise(reversed(directories)))
    assert list(zip(summary["method"], summary["seed"])) == [("frod", 1), ("frod", 2), ("lora", 1), ("lora", 2)]


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 41), ("batch_size", 64), ("examples", 1), ("order_sha256", "other")]
)
def test_methods_with_another_budget_are_refused_by_name(tmp_path, field, value):
    runs = [
        write_run(tmp_path, "full_ft"),
        write_run(tmp_path, change=lambda record: record["budget"].update({field: value})),
    ]
    with pytest.raises(ValueError, match=rf"digits/digit_vit/full_ft/seed-0 and .*frod/seed-0 .*{field} is .*{value}"):
        summarise(runs)


def test_seeds_and_tasks_may_have_budgets_of_their_own(tmp_path):
    def longer(record):
        record["budget"]["steps"] = 80

    runs = [
        write_run(tmp_path),
        write_run(tmp_path, task="sst2", change=longer),
        write_run(tmp_path, "frod", 2, change=longer),
    ]
    assert len(summarise(runs)) == 3


def test_methods_that_read_other_data_are_refused(tmp_path):
    def other(record):
        record["inputs"] = {path: "ef" * 32 for path in record["inputs"]}

    with pytest.raises(ValueError, match=r"read data/tasks/digits/digit_vit/manifest.json with sha256 cdcd"):
        summarise([write_run(tmp_path), write_run(tmp_path, "lora", change=other)])


def test_metrics_of_other_predictions_are_refused(tmp_path):
    stale = write_run(tmp_path, metrics_change=lambda metrics: metrics.update(predictions_sha256="00" * 32))
    with pytest.raises(ValueError, match=r"delete .*metrics\.json and run again"):
        summarise([stale])


def test_incomplete_runs_are_named(tmp_path):
    with pytest.raises(ValueError, match="run_dirs is empty"):
        summarise([])
    directory = write_run(tmp_path)
    with pytest.raises(ValueError, match="given twice"):
        summarise([directory, directory])
    with pytest.raises(ValueError, match="lacks 'base'"):
        summarise([write_run(tmp_path, "frod", 3, change=lambda record: record["parameters"].pop("base"))])
    (directory / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"metrics.json is not there"):
        summarise([directory])


def test_every_split_has_its_figures_also_the_best_epoch_of_the_released_protocol(tmp_path):
    def released(metrics):
        metrics["metrics"] = {"test": {"accuracy": 0.5}, "test_mismatched": {"accuracy": 0.4}}
        metrics["metrics"]["test_best_epoch"] = {"accuracy": 0.6}
        metrics["examples"] = {"test": 200, "test_mismatched": 100, "test_best_epoch": 200}

    run = write_run(tmp_path, change=lambda record: record.update(protocol="released"), metrics_change=released)
    (row,) = summarise([run]).to_dict("records")
    assert (row["test"], row["test_best_epoch"], row["test_mismatched_accuracy"]) == (0.5, 0.6, 0.4)
    assert row["validation_examples"] == 0


LOST = {"undefined": "diverged: step 3 of 40: loss nan"}


def no_figures(metrics):
    metrics.update(LOST, metrics={}, examples={})


def test_a_run_that_diverged_has_a_row_without_figures(tmp_path):
    lost = write_run(tmp_path, "lora", change=lambda record: record.update(LOST), metrics_change=no_figures)
    for runs in ([lost], [lost, write_run(tmp_path)]):
        table = summarise(runs)
        row = table[table["method"] == "lora"].iloc[0]
        assert row["undefined"] == "diverged: step 3 of 40: loss nan"
        assert (row["test_examples"], row["validation_examples"], row["steps"]) == (0, 0, 40)
        assert math.isnan(row["test"]) and math.isnan(row["validation"])
    other = table[table["method"] == "frod"].iloc[0]
    assert pd.isna(other["undefined"]) and other["test"] == 0.9


@pytest.mark.parametrize("changed", ["change", "metrics_change"])
def test_record_and_metrics_must_agree_on_a_divergence(tmp_path, changed):
    edit = {"change": lambda record: record.update(LOST), "metrics_change": no_figures}[changed]
    with pytest.raises(
        ValueError, match=r"undefined is (None|'diverged: step 3.*) in metrics.json, .*delete .*metrics.json"
    ):
        summarise([write_run(tmp_path, **{changed: edit})])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record.update(protocol="released"), "protocol is audited in one and released in the other"),
        (lambda record: record["tuning"].update(trials=9), "trials is 3 in one and 9 in the other"),
    ],
)
def test_methods_under_another_protocol_or_tuned_more_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        summarise([write_run(tmp_path), write_run(tmp_path, "lora", change=change)])
