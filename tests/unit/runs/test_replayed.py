"""Two runs count as the same only where they are: a bit that differs is found, and a tolerance takes the last digits of
another machine for the same and another rate, seed or example for another. Expected shares by hand."""

import copy
import io
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from frod.runs import deviations, replay
from frod.runs.deviations import Compared

ENVIRONMENT = {"python": "3.11.2", "packages": {"torch": "2.9.0", "mlflow": "3.1.0"}, "processor": "a processor"}
ENVIRONMENT |= {"accelerator": None, "threads": 1}


def by_name(found):
    return {one.what.partition(": ")[2]: one for one in found}


def adapters(tmp_path, old, new, start=None, metadata=None):
    paths = [tmp_path / f"{name}.safetensors" for name in ("old", "new", "start")]
    for path, tensors in zip(paths, (old, new, start)):
        if tensors is not None:
            save_file(tensors, path, metadata={"frod": metadata} if metadata and path is paths[1] else None)
    return deviations.adapters(*paths[:2], lambda: paths[2])


def test_the_same_adapter_needs_no_start(tmp_path):
    one = {"a": np.arange(4, dtype=np.float32), "b": np.float32([[1]])}
    assert adapters(tmp_path, one, one) == Compared(what="adapter", values=5)


def test_one_bit_of_an_adapter_is_found(tmp_path):
    old = {"a": np.float32([0, 3, 4]), "b": np.zeros(2, np.float32)}
    new = {"a": np.float32([0, 3, np.nextafter(np.float32(4), np.float32(5))]), "b": np.float32([-0.0, 0])}
    found = adapters(tmp_path, old, new, {"a": np.zeros(3, np.float32), "b": np.zeros(2, np.float32)})
    assert (found.values, found.differing, found.where) == (5, 2, "a")  # -0 is another bit than 0
    assert found.largest == pytest.approx(2**-21)
    assert found.share == pytest.approx(2**-21 / 5)


def test_an_adapter_s_share_is_of_the_way_that_training_went(tmp_path):
    """Weights of norm 1000 that moved by 5 and ended 1 apart are not alike to a thousandth, but to a fifth."""
    start = {"w": np.float32([1000, 0, 0])}
    found = adapters(tmp_path, {"w": np.float32([1000, 3, 4])}, {"w": np.float32([1000, 3, 5])}, start)
    assert found.share == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("new", "metadata", "where"),
    [
        ({"a": np.zeros(3, np.float32)}, None, "tensors ['a']"),
        ({"a": np.zeros(2, np.float16)}, None, "tensors ['a']"),
        ({"a": np.zeros(2, np.float32), "b": np.zeros(1, np.float32)}, None, "tensors ['b']"),
        ({"a": np.zeros(2, np.float32)}, '{"seed": 1}', "settings in the file's head"),
    ],
)
def test_adapters_of_other_shapes_or_settings_are_never_the_same(new, metadata, where, tmp_path):
    found = adapters(tmp_path, {"a": np.zeros(2, np.float32)}, new, metadata=metadata)
    assert (found.share, found.where) == (math.inf, where)


def predictions():
    scores = [[1.0, 3.0], [3.0, 1.0], [1.0, 3.0], [3.0, 1.0]]
    table = pd.DataFrame({"split": "test", "example_id": range(4), "label": 0, "prediction": [1, 0, 1, 0]})
    return table.assign(scores=[np.float32(row) for row in scores])


def test_scores_are_held_against_their_spread():
    new = predictions()
    new.at[2, "scores"] = np.float32([1.0, 3.5])
    found = by_name(deviations.predictions(predictions(), new))
    scores = found["scores"]
    assert (scores.values, scores.differing, scores.largest, scores.where) == (8, 1, 0.5, "row 2")
    assert scores.share == pytest.approx(math.sqrt(0.25 / 8) / 1.0)  # each column is 2 plus or minus 1
    assert found["classes"].exact and found["examples"].exact


def test_a_class_that_differs_is_found():
    new = predictions()
    new.loc[1, "prediction"] = 1
    found = by_name(deviations.predictions(predictions(), new))["classes"]
    assert (found.differing, found.share, found.where) == (1, 0.25, "example 1")


def test_predicted_values_of_a_regression_are_held_against_the_scores():
    def of(values):
        table = pd.DataFrame({"split": "test", "example_id": range(2), "label": 0.0, "prediction": np.float32(values)})
        return table.assign(scores=[np.float32([1]), np.float32([3])])

    found = by_name(deviations.predictions(of([1, 3]), of([1, 4])))
    assert found["values"].differing == 1
    assert found["values"].share == pytest.approx(math.sqrt(1 / 2) / 1.0)
    assert found["scores"].exact


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(label=[0, 0, 0, 1]),
        lambda t: t.assign(example_id=[0, 1, 3, 2]),
        lambda t: t.assign(split="validation"),
        lambda t: t.iloc[:3],
        lambda t: t.drop(columns="label"),
    ],
)
def test_other_examples_are_never_the_same(change):
    found = deviations.predictions(predictions(), change(predictions()))
    assert [one.share for one in found] == [math.inf]


def history(**columns):
    return pd.DataFrame({"step": [1, 2], "loss": [3.0, 4.0], "validation_accuracy": [np.nan, 0.5]} | columns)


def test_of_a_history_times_and_memory_do_not_count():
    old, new = history(seconds=[1.0, 2.0], rss_bytes=[1.0, 2.0]), history(seconds=[3.0, 4.0], rss_bytes=[5.0, 6.0])
    assert all(one.exact for one in deviations.histories(old, new))
    assert list(by_name(deviations.histories(old, new))) == list(history())


def test_a_loss_is_held_against_the_losses():
    found = by_name(deviations.histories(history(), history(loss=[3.0, 5.0])))["loss"]
    assert (found.differing, found.where) == (1, "row 1")
    assert found.share == pytest.approx(1 / 5)  # rms of (0, 1) over that of (3, 4)


@pytest.mark.parametrize("new", [history(loss=[3.0, np.nan]), history().iloc[:1], history().drop(columns="loss")])
def test_a_history_that_lacks_a_value_is_never_the_same(new):
    assert max(one.share for one in deviations.histories(history(), new)) == math.inf


def test_metrics_are_compared_by_split_and_name():
    old = {"task": "t", "metrics": {"test": {"accuracy": 0.5, "f1": None}}, "predictions_sha256": "a"}
    new = {"task": "t", "metrics": {"test": {"accuracy": 0.75, "f1": None}}, "predictions_sha256": "b"}
    found = by_name(deviations.metrics(old, new))
    assert found["test accuracy"].share == 0.25
    assert found["test accuracy"].where == "0.5 there, 0.75 in the replay"
    assert found["test f1"].exact and found["examples"].exact
    lost = by_name(deviations.metrics(old, new | {"metrics": {}}))
    assert lost["test accuracy"].share == math.inf


def test_what_a_diverged_run_leaves_is_compared_to_the_bit(tmp_path):
    """No predictions, a history that ends in nan or infinity, an adapter of nan."""
    empty = predictions().iloc[:0]
    assert deviations.predictions(empty, empty) == [Compared(what="predictions: examples", values=0)]
    assert deviations.predictions(empty, predictions())[0].share == math.inf
    lost = history(loss=[3.0, np.inf], grad_norm=[1.0, np.nan])
    assert all(one.exact for one in deviations.histories(lost, lost.copy()))
    other = by_name(deviations.histories(lost, history(loss=[3.0, 9e30], grad_norm=[1.0, np.nan])))
    assert not other["loss"].share <= 0.05
    gone = {"a": np.full(3, np.nan, np.float32)}
    assert adapters(tmp_path, gone, gone).exact
    old = {"task": "t", "metrics": {}, "examples": {}, "undefined": "diverged: step 2: loss inf"}
    assert [one.exact for one in deviations.metrics(old, old | {"undefined": "diverged: step 3: loss nan"})] == [True]


@pytest.mark.parametrize(
    ("was", "now", "exact", "within"),
    [
        ("diverged: step 2: loss inf", "diverged: step 2: loss inf", True, True),
        ("diverged: step 2: loss inf", "diverged: step 3: loss nan", False, True),  # as another machine may have it
        ("diverged: step 2: loss inf", None, False, False),
        (None, "diverged: step 2: loss inf", False, False),
    ],
)
def test_a_divergence_is_the_same_where_it_was(was, now, exact, within):
    (found,) = replay.of_trial(SimpleNamespace(facts={"undefined": was}), SimpleNamespace(undefined=now))
    assert replay.Standard(None).accepts(found) == exact
    assert replay.Standard(0.05).accepts(found) == within


@pytest.mark.parametrize(
    ("change", "tolerance", "reason"),
    [
        ({}, None, None),
        ({"packages": {"torch": "2.9.0", "mlflow": "3.2.0"}}, None, None),  # it computes nothing
        ({"processor": "another"}, 0.05, "processor: another here, a processor recorded"),
        ({"threads": 2}, 0.05, "threads: 2 here, 1 recorded"),
        ({"accelerator": "a GPU"}, 0.05, "accelerator: a GPU here, None recorded"),
        ({"packages": {"torch": "2.10.0", "mlflow": "3.1.0"}}, 0.05, None),
    ],
)
def test_every_bit_counts_on_the_same_machine_alone(change, tolerance, reason):
    standard = replay.Standard.between(ENVIRONMENT, copy.deepcopy(ENVIRONMENT) | change, None)
    assert standard == replay.Standard(tolerance, (reason,) if reason else ())
    asked = replay.Standard.between(ENVIRONMENT, ENVIRONMENT | change, 0.3)
    assert asked.tolerance == 0.3


def test_on_the_same_gpu_a_tolerance_is_needed():
    on_gpu = ENVIRONMENT | {"accelerator": "a GPU"}
    assert replay.Standard.between(on_gpu, on_gpu, None).tolerance == 0.05


def test_versions_that_differ_are_listed():
    here = ENVIRONMENT | {"python": "3.12.0", "packages": {"torch": "2.9.0", "peft": "0.21"}}
    assert replay.package_notes(ENVIRONMENT, here) == [
        "python 3.12.0 here, 3.11.2 recorded",
        "mlflow is not installed here, 3.1.0 recorded",
        "peft 0.21 here, not installed recorded",
    ]


@pytest.mark.parametrize(
    ("share", "tolerance", "same", "text"),
    [
        (0.0, None, True, "the same, bit for bit"),
        (0.04, 0.05, True, "the same within a share of 0.05; the largest is 0.04"),
        (0.06, 0.05, False, "not the same within a share of 0.05: b"),
        (1e-9, None, False, "not the same bit for bit: b"),
    ],
)
def test_the_verdict(share, tolerance, same, text):
    found = [Compared(what="a", values=1), Compared(what="b", values=1, differing=int(share > 0), share=share)]
    assert replay.verdict(found, replay.Standard(tolerance)) == (same, text)


def test_the_table_sums_up_what_is_the_same():
    from rich.console import Console

    found = [Compared(what="history: step", values=3), Compared(what="history: epoch", values=4)]
    found.append(Compared(what="history: loss", values=5, differing=2, largest=0.25, share=0.5, where="row 1"))
    text = io.StringIO()
    Console(width=100, file=text).print(replay.table(found, replay.Standard(0.1)))
    lines = [line.split() for line in text.getvalue().splitlines()]
    assert ["history,", "the", "rest", "7", "0"] in lines
    assert ["history:", "loss", "5", "2", "0.25", "0.5", "row", "1"] in lines


def test_half_an_adapter_is_named(tmp_path):
    (half := tmp_path / "adapter.safetensors").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"adapter\.safetensors: is no whole adapter"):
        deviations.adapters(half, half, lambda: half)
