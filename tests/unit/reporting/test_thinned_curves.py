"""Thinned curves keep their mean, share their steps between seeds, and show where a run broke."""

import math

import numpy as np
import pandas as pd
import pytest

from frod.reporting import thinned_curves


def history(losses, first=1):
    return pd.DataFrame({"step": np.arange(first, first + len(losses)), "loss": losses})


def test_bins_are_means_of_stretches():
    assert thinned_curves.thin(history([1.0, 3.0, 5.0, 7.0]), bins=2) == [(1.5, 2.0), (3.5, 6.0)]
    assert thinned_curves.thin(history([1.0, 2.0]), bins=60) == [(1, 1.0), (2, 2.0)]
    assert thinned_curves.thin(history([])) == []


def test_thinning_covers_every_step_once():
    losses = np.random.default_rng(0).random(997)
    thinned = thinned_curves.thin(history(losses), bins=60)
    assert len(thinned) == 60
    sizes = [round(997 * (i + 1) / 60) - round(997 * i / 60) for i in range(60)]
    assert np.dot([value for _, value in thinned], sizes) == pytest.approx(losses.sum())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stays_visible(bad):
    thinned = thinned_curves.thin(history([1.0, bad, 1.0, 1.0]), bins=2)
    assert math.isnan(thinned[0][1]) and thinned[1][1] == 1.0
    assert thinned_curves.broken(history([1.0, bad])) == 1


def test_a_gap_in_one_curve_is_one_in_their_mean():
    assert math.isnan(thinned_curves.mean_curve([[(1, math.nan)], [(1, 2.0)]])[0][1])


def test_means_are_over_shared_steps():
    assert thinned_curves.mean_curve([[(1, 1.0), (2, 3.0)], [(1, 2.0)]]) == [(1, 1.5)]
    assert thinned_curves.mean_curve([]) == []


def test_measured_takes_the_rows_that_have_a_value():
    frame = history([1.0, 1.0]).assign(validation_accuracy=[math.nan, 0.5])
    assert thinned_curves.measured(frame, "validation_accuracy") == [(2, 0.5)]
    assert thinned_curves.measured(frame, "validation_f1") == []
