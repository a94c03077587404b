"""The figures behind the page are those of a hand calculation, and what is missing is left out by name."""

import math

import pandas as pd
import pytest

from frod.reporting import comparison
from frod.reporting.naming import looks, method_order


def table(rows):
    """Rows (task, method, seed, test) with the columns that comparisons read."""
    frame = pd.DataFrame(rows, columns=["task", "method", "seed", "test"])
    of_reference = [(method == "full_ft", seed) for method, seed in zip(frame["method"], frame["seed"])]
    return frame.assign(
        backbone="b",
        primary="accuracy",
        undefined=["constant: it does not vary" if math.isnan(test) else None for test in frame["test"]],
        test_examples=100,
        adapter_parameters=[1000 if method == "full_ft" else 20 for method in frame["method"]],
        head_parameters=5,
        trainable_parameters=[1005 if method == "full_ft" else 25 for method in frame["method"]],
        base_parameters=1000,
        step_seconds_median=[0.1 * seed if reference else 0.3 for reference, seed in of_reference],
        train_seconds=1.0,
        peak_rss_bytes=2.0**30,
        peak_gpu_bytes=math.nan,
    )


ROWS = [
    ("a", "full_ft", 1, 0.90),
    ("a", "full_ft", 2, 0.92),
    ("a", "frod", 1, 0.89),
    ("a", "frod", 2, 0.93),
    ("a", "lora", 2, 0.80),
    ("b", "full_ft", 1, 0.50),
    ("b", "frod", 1, 0.53),
    ("b", "lora", 1, math.nan),
]
METHODS = ("full_ft", "frod", "lora")


def test_means_and_paired_differences():
    first, second = comparison.compare(table(ROWS), METHODS)
    frod = first.of("frod")
    assert frod.spread.mean == pytest.approx(0.91)
    assert frod.difference.each == pytest.approx((-0.01, 0.01))
    assert frod.difference.mean == pytest.approx(0)
    assert first.of("lora").difference.pairs == (2,)
    assert first.of("full_ft").difference is None
    assert second.of("lora").undefined == {1: "constant: it does not vary"}
    assert second.of("lora").spread is None and second.of("lora").difference is None


def test_headline_takes_tasks_as_units():
    top = comparison.headline(comparison.compare(table(ROWS), METHODS))
    assert top.by_task[("a", "b")].mean == pytest.approx(0)
    assert top.over_tasks.each == pytest.approx((0.0, 0.03))
    assert top.over_tasks.mean == pytest.approx(0.015)
    assert (top.seeds, top.with_interval, top.containing_zero) == ((1, 2), 1, 1)


def test_no_shared_seed_gives_no_headline():
    rows = [("a", "full_ft", 1, 0.9), ("a", "frod", 2, 0.9)]
    assert comparison.headline(comparison.compare(table(rows), METHODS)) is None


def test_shares_by_every_convention():
    counts = comparison.parameter_counts(table(ROWS), METHODS, {method: method for method in METHODS})
    by_method = {count.method: [values[0] for values in count.shares.values()] for count in counts}
    assert by_method["frod"] == pytest.approx([20 / 1000, 20 / 1020, 25 / 1025])
    # Full fine-tuning trains the base: it adds nothing to the denominator.
    assert by_method["full_ft"] == pytest.approx([1.0, 1.0, 1.0])


def test_time_ratios_are_paired_by_seed():
    rows = comparison.costs(table(ROWS), METHODS)
    ratio = {(row["task"], row["method"]): row["step_ratio"] for row in rows}
    assert ratio["a", "frod"] == pytest.approx((3.0 + 1.5) / 2)
    assert ratio["a", "lora"] == pytest.approx(1.5)
    assert math.isnan(rows[0]["peak_gpu_bytes"])


def test_methods_keep_order_and_look_in_every_report():
    assert method_order(["lora", "zeta", "frod", "full_ft"], ["lora"]) == ["full_ft", "frod", "lora", "zeta"]
    few, many = (
        looks(["frod"]),
        looks(["full_ft", "frod", "lora", "x", "y"], {"x": {"label": "X!"}, "y": {"label": None}}),
    )
    assert few["frod"] == many["frod"]
    assert len({look.slot for look in many.values()}) == 5
    assert (many["x"].label, many["y"].label) == ("X!", "y")
