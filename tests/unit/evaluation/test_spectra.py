"""Ranks of matrices whose rank is known, and rounding to float32 is not taken for an update."""

import math

import numpy as np
import pytest

from frod.evaluation import spectra


def ranks(update, weight):
    values = np.linalg.svd(update, compute_uv=False)
    return spectra.ranks(values, shape=update.shape, weight_norm=float(np.linalg.norm(weight)))


def low_rank(rng, m, n, r):
    return rng.normal(size=(m, r)) @ rng.normal(size=(r, n)) / math.sqrt(r * n)


@pytest.mark.parametrize(("m", "n", "r"), [(48, 48, 3), (96, 24, 24), (24, 96, 7)])
def test_the_rank_is_that_of_the_factors(m, n, r):
    rng = np.random.default_rng(r)
    found = ranks(low_rank(rng, m, n, r), rng.normal(size=(m, n)) / math.sqrt(n))
    assert found.numerical == found.strict == r / min(m, n)


def test_equal_singular_values_have_as_many_effective_directions():
    # The entropy of k equal shares is ln k; the squared norm is k times the largest squared.
    found = spectra.ranks([2.0] * 5 + [0.0] * 15, shape=(20, 30), weight_norm=10.0)
    assert found.effective == pytest.approx(5 / 20)
    assert found.stable == pytest.approx(5 / 20)
    assert found.size == pytest.approx(math.sqrt(5 * 4) / 10)


def test_rounding_the_weights_to_float32_is_no_update():
    """Of W' = W + an update of rank 2, kept in float32, the difference has full rank in float64."""
    rng = np.random.default_rng(0)
    W = rng.normal(size=(64, 64)).astype(np.float32)
    after = (W.astype(np.float64) + 1e-3 * low_rank(rng, 64, 64, 2)).astype(np.float32)
    update = after.astype(np.float64) - W
    assert np.linalg.matrix_rank(update) == 64
    assert ranks(update, W).numerical == 2 / 64


def test_a_small_direction_counts_unless_rounding_could_make_it():
    """numpy's rule for a float32 matrix leaves out 1e-6 of the largest; no rounding of these weights is so large."""
    values = np.array([1.0] * 63 + [1e-6])
    found = spectra.ranks(values, shape=(64, 64), weight_norm=4.0)
    assert found.numerical == 1.0 and found.strict == 63 / 64
    assert spectra.ranks(values, shape=(64, 64), weight_norm=10.0).numerical == 63 / 64


def test_a_layer_that_did_not_change_has_no_rank():
    found = spectra.ranks([0.0] * 4, shape=(4, 8), weight_norm=1.0)
    assert (found.numerical, found.strict, found.effective, found.stable, found.size) == (0, 0, 0, 0, 0)


def test_what_is_no_spectrum_is_refused():
    with pytest.raises(ValueError, match=r"has shape \(3,\); of a 4 x 8 layer right is \(4,\)"):
        spectra.ranks([1.0] * 3, shape=(4, 8), weight_norm=1.0)
    with pytest.raises(ValueError, match="negative or not finite"):
        spectra.ranks([1.0, math.nan], shape=(2, 2), weight_norm=1.0)
