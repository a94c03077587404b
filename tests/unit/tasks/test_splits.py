"""The draw of a split: exact shares, and nothing but seed, purpose, labels and ids decides it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frod.tasks.splits import stratified

LABELS = st.lists(st.integers(0, 4), min_size=1, max_size=60).map(np.array)


@settings(max_examples=60, deadline=None)
@given(labels=LABELS, share=st.floats(0, 1))
def test_each_class_keeps_its_share_to_within_one(labels, share):
    rows = int(share * len(labels))
    drawn = stratified(labels, np.arange(len(labels)), rows, seed=0, purpose="test")
    assert len(drawn) == rows == len(np.unique(drawn))
    for label in np.unique(labels):
        exact = (labels == label).sum() * rows / len(labels)
        assert abs((labels[drawn] == label).sum() - exact) < 1


@settings(max_examples=30, deadline=None)
@given(labels=LABELS, data=st.data())
def test_the_order_of_rows_does_not_matter(labels, data):
    ids = np.arange(len(labels)) * 7
    order = np.array(data.draw(st.permutations(range(len(labels)))))
    rows = len(labels) // 2
    straight = ids[stratified(labels, ids, rows, seed=3, purpose="test")]
    shuffled = ids[order][stratified(labels[order], ids[order], rows, seed=3, purpose="test")]
    assert set(straight) == set(shuffled)


def test_seeds_and_purposes_draw_differently():
    labels, ids = np.zeros(200, int), np.arange(200)
    draws = {
        (seed, purpose): tuple(stratified(labels, ids, 100, seed=seed, purpose=purpose))
        for seed in (0, 1)
        for purpose in ("test", "validation")
    }
    assert len(set(draws.values())) == 4


def test_a_draw_is_the_same_for_ever():
    """Written down by hand from sha256("0/test/ID"): a change would silently move examples between splits."""
    import hashlib

    def place(example):
        return hashlib.sha256(f"0/test/{example}".encode()).digest()[:8][::-1]

    expected = sorted(sorted(range(10), key=place)[:4])
    assert stratified(np.zeros(10, int), np.arange(10), 4, seed=0, purpose="test").tolist() == expected


@pytest.mark.parametrize("rows", [-1, 4])
def test_more_than_there_is_cannot_be_drawn(rows):
    with pytest.raises(ValueError, match=f"{rows} examples asked for, there are 3"):
        stratified(np.zeros(3, int), np.arange(3), rows, seed=0, purpose="test")


def test_repeated_ids_are_refused():
    with pytest.raises(ValueError, match=r"ids repeat \(3 examples, 2 ids\)"):
        stratified(np.zeros(3, int), np.array([1, 1, 2]), 2, seed=0, purpose="test")
