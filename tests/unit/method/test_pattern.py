"""The pattern of S: its size, its places, that only its four inputs decide it, and that places are equally likely."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frod.method import pattern


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 40), rate=st.floats(0, 1), seed=st.integers(-(2**40), 2**40))
def test_exactly_so_many_distinct_places_off_the_diagonal_in_order(n, rate, seed):
    if int(rate * n * n) > n * (n - 1):
        with pytest.raises(ValueError, match="places off the diagonal"):
            pattern.draw("c", n, rate, seed)
        return
    rows, columns = pattern.draw("c", n, rate, seed)
    assert len(rows) == len(columns) == int(rate * n * n)
    assert (rows != columns).all()
    assert ((rows >= 0) & (rows < n) & (columns >= 0) & (columns < n)).all()
    assert (np.diff(rows * n + columns) > 0).all()


def test_every_input_matters():
    reference = np.stack(pattern.draw("c", 30, 0.1, 0))
    assert np.array_equal(reference, np.stack(pattern.draw("c", 30, 0.1, 0)))
    others = [("d", 30, 0.1, 0), ("c", 30, 0.1, 1), ("c", 31, 0.1, 0), ("c", 30, 0.1001, 0)]
    for other in others:
        drawn = np.stack(pattern.draw(*other))
        assert drawn.shape != reference.shape or not np.array_equal(drawn, reference)


def test_another_process_draws_the_same():
    # Python's own hash() changes from process to process; a pattern that did would make a saved adapter worthless.
    code = "from frod.method import pattern; print([p.tolist() for p in pattern.draw('layer.*.q', 64, 0.01, 3)])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str([places.tolist() for places in pattern.draw("layer.*.q", 64, 0.01, 3)])


def test_the_raw_stream_is_philox_as_published():
    # Known-answer test of Philox4x64-10 with zero counter and key in Random123 (kat_vectors); NumPy counts up first, so
    # its first block is that of counter 1. The vector for counter and key of all ones: reached by stepping back.
    ones = np.uint64(0xFFFFFFFFFFFFFFFF)
    stream = np.random.Philox(counter=(2**256 - 2), key=np.array([ones, ones]))
    expected = [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0]
    assert stream.random_raw(4).tolist() == expected


def test_places_are_equally_likely():
    # 2,000 draws of 10 of 90 places: each is hit 222 times on average, with a standard deviation of 14.
    hits = np.zeros((10, 10))
    for seed in range(2000):
        hits[pattern.draw("c", 10, 0.1, seed)] += 1
    off_diagonal = hits[~np.eye(10, dtype=bool)]
    assert abs(off_diagonal - 2000 * 10 / 90).max() < 5 * 14
    assert ((off_diagonal - 222.2) ** 2).mean() < 2 * 14**2


def test_large_widths_need_no_large_memory():
    # n^2 is 3.6 billion: a mask or a permutation of all places could not be built here.
    rows, columns = pattern.draw("c", 60_000, 1e-6, 0)
    assert len(rows) == 3600
    assert columns.max() > 50_000


@pytest.mark.parametrize("rate", [-0.1, 1.5, float("nan")])
def test_impossible_rates_are_refused(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        pattern.draw("c", 4, rate, 0)
