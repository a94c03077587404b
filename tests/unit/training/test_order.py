"""Budget and order of examples: the same for every method of a seed, and what the parameters say."""

import numpy as np
import pytest

from frod.config import Training
from frod.training.order import plan
from frod.training.schedule import factor
from frod.training.seeds import stream, subset


def test_each_epoch_is_a_permutation_of_all_examples():
    budget, batches = plan(10, Training(epochs=3, batch_size=4), seed=0)
    assert (budget.steps, budget.steps_per_epoch, budget.examples) == (9, 3, 30)
    epochs = [np.concatenate(batches[i : i + 3]) for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_the_order_depends_on_the_seed_alone():
    first, _ = plan(50, Training(epochs=2, batch_size=8), seed=1)
    again, _ = plan(50, Training(epochs=2, batch_size=8, accumulation=2, weight_decay=0.1), seed=1)
    other, _ = plan(50, Training(epochs=2, batch_size=8), seed=2)
    assert first.order_sha256 == again.order_sha256 != other.order_sha256


def test_texts_of_like_length_come_together_and_each_is_still_seen_once():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    training = Training(epochs=2, batch_size=10)

    def padding(batches):
        return sum(len(batch) * lengths[batch].max() - lengths[batch].sum() for batch in batches)

    budget, grouped = plan(1000, training, 0, lengths)
    plain_budget, plain = plan(1000, training.model_copy(update={"group_by_length": False}), 0, lengths)
    assert (budget.steps, budget.examples) == (plain_budget.steps, plain_budget.examples)
    assert padding(grouped) < padding(plain) / 5
    epochs = [np.concatenate(grouped[i : i + 100]) for i in (0, 100)]
    assert all(sorted(epoch) == list(range(1000)) for epoch in epochs)
    means = [lengths[batch].mean() for batch in grouped[:100]]
    assert abs(np.corrcoef(means, np.arange(100))[0, 1]) < 0.3  # short and long ones are mixed over the epoch


def test_the_order_of_images_does_not_depend_on_grouping():
    ones = np.ones(30, dtype=np.int64)
    assert plan(30, Training(), 0, ones)[0].order_sha256 == plan(30, Training(), 0)[0].order_sha256


def test_half_an_epoch_is_half_the_steps():
    budget, batches = plan(100, Training(epochs=0.5, batch_size=10), seed=0)
    assert budget.steps == len(batches) == 5


def test_streams_of_one_seed_differ():
    assert len({stream(0, name) for name in ("head", "adapter", "order", "dropout")} | {stream(1, "head")}) == 5


@pytest.mark.parametrize("most", [7, 50, 99])
def test_a_subset_keeps_each_class_in_its_share(most):
    labels = np.repeat([0, 1, 2], [70, 20, 10])
    chosen = subset(labels, most, seed=0)
    assert len(chosen) == most == len(set(chosen.tolist()))
    assert np.abs(np.bincount(labels[chosen], minlength=3) / most - [0.7, 0.2, 0.1]).max() <= 1.5 / most


def test_a_smaller_subset_lies_within_a_larger_one():
    labels = np.repeat([0, 1], [60, 40])
    assert set(subset(labels, 20, 0)) <= set(subset(labels, 40, 0))


def test_the_rate_rises_and_falls():
    training = Training(schedule="cosine", warmup=0.1)
    factors = [factor(step, 100, training) for step in range(100)]
    assert factors[0] == pytest.approx(1 / 11)
    assert factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert 0 < factors[99] < 0.01
    assert factor(99, 100, Training(schedule="constant", warmup=0)) == 1.0
    assert factor(50, 100, Training(schedule="linear", warmup=0)) == 0.5
