"""Examples as a source of chance: blocks that sum up to the metric, and an interval that holds them and the seeds."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from frod.evaluation.examples import BLOCKS, by_block, with_examples
from frod.evaluation.metrics import compute
from frod.evaluation.statistics import mean_interval


def predictions(examples, *, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, examples)
    return pd.DataFrame({"label": labels, "prediction": np.where(rng.random(examples) < 0.8, labels, 1 - labels)})


@pytest.mark.parametrize("examples", [40, 400])
def test_blocks_of_an_accuracy_are_means_and_those_of_others_pseudo_values_about_the_metric(examples):
    table = predictions(examples)
    blocks = by_block(table, "accuracy")
    assert len(blocks) == min(examples, BLOCKS) and blocks.mean() == pytest.approx(
        compute(table, ["accuracy"])["accuracy"]
    )
    for metric in ("matthews_correlation", "f1"):
        assert by_block(table, metric).mean() == pytest.approx(compute(table, [metric])[metric], abs=2 / examples)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("right", [0.0, 0.7, 1.0])
def test_pseudo_values_of_a_matthews_correlation_are_those_of_scikit_learn(classes, right):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 40)
    table = pd.DataFrame({"label": labels, "prediction": np.where(rng.random(40) < right, labels, 0)})
    whole = matthews_corrcoef(table["label"], table["prediction"])
    # As many blocks as examples: each leaves one out, in the order of their drawing.
    left_out = np.argsort(np.random.default_rng(0).permutation(40))
    without = [matthews_corrcoef(*table.drop(index)[["label", "prediction"]].to_numpy().T) for index in left_out]
    assert by_block(table, "matthews_correlation").tolist() == (40 * whole - 39 * np.array(without)).tolist()


def test_the_jackknife_of_a_correlation_has_the_error_of_its_closed_form():
    """Of normal values the standard error of Pearson's r is (1 - r²) / sqrt(n)."""
    rng = np.random.default_rng(1)
    labels = rng.normal(size=4000)
    table = pd.DataFrame({"label": labels, "prediction": 0.6 * labels + 0.8 * rng.normal(size=4000)})
    blocks = by_block(table, "pearson")
    assert blocks.std(ddof=1) / math.sqrt(BLOCKS) == pytest.approx((1 - 0.6**2) / math.sqrt(4000), rel=0.2)


def test_runs_of_a_task_have_the_same_blocks():
    table = predictions(250)
    one = by_block(table, "accuracy")
    other = by_block(
        table.assign(prediction=np.where(table.index == 7, 1 - table["prediction"], table["prediction"])), "accuracy"
    )
    assert (one != other).sum() == 1


def crossed(seeds, blocks, *, seed=0, by_seed=1.0, by_block=1.0, rest=1.0):
    rng = np.random.default_rng(seed)
    sizes = ((by_seed, (seeds, 1)), (by_block, (1, blocks)), (rest, (seeds, blocks)))
    return sum(rng.normal(0, spread, size) for spread, size in sizes)


def named(blocks):
    return dict(enumerate(blocks.mean(axis=1).tolist()))


def test_where_examples_add_nothing_it_is_the_t_interval_over_seeds():
    blocks = np.repeat(crossed(4, 1), 50, axis=1)
    over_seeds, found = mean_interval(named(blocks)), with_examples(named(blocks), blocks)
    assert (found.low, found.high, found.error) == pytest.approx((over_seeds.low, over_seeds.high, over_seeds.error))
    assert found.df == pytest.approx(3)


def test_where_seeds_add_nothing_it_is_the_t_interval_over_examples():
    blocks = crossed(3, 80, by_seed=1e-6, rest=0.0)
    expected = stats.ttest_1samp(blocks.mean(axis=0), 0).confidence_interval(0.95)
    found = with_examples(named(blocks), blocks)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-4)


def test_each_source_has_its_own_quantile_and_the_rest_counts_once():
    blocks = crossed(3, 60, rest=2.0)
    rows, columns = blocks.mean(axis=1), blocks.mean(axis=0)
    rest = blocks - rows[:, None] - columns + blocks.mean()
    added = columns.var(ddof=1) / 60 - (rest**2).sum() / (2 * 59) / 180
    half = math.hypot(stats.t.ppf(0.975, 2) * (rows.var(ddof=1) / 3) ** 0.5, stats.t.ppf(0.975, 59) * added**0.5)
    found = with_examples(named(blocks), blocks)
    assert (found.mean - found.low, found.high - found.mean) == pytest.approx((half, half))
    assert stats.t.ppf(0.975, found.df) * found.error == pytest.approx(half)


def test_seeds_that_are_alike_by_chance_do_not_make_it_narrower_than_the_examples():
    blocks = crossed(2, 60, by_seed=0.0)
    blocks += (blocks.mean() - blocks.mean(axis=1) + [-1e-6, 1e-6])[:, None]
    expected = stats.ttest_1samp(blocks.mean(axis=0), 0).confidence_interval(0.95)
    found = with_examples(named(blocks), blocks)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("blocks", [crossed(1, 60), np.ones((3, 60))], ids=["one seed", "all the same"])
def test_one_seed_or_none_that_differs_leaves_no_interval(blocks):
    assert not with_examples(named(blocks), blocks).has_interval


def test_blocks_of_accuracy_norm_are_means_of_its_own_choice():
    """Not of the prediction, which is the answer of the highest sum."""
    table = predictions(40).assign(scores=[[-6.0, -8.0]] * 40, bytes=[[2, 4]] * 40)
    assert by_block(table, "accuracy_norm").mean() == (table["label"] == 1).mean()
