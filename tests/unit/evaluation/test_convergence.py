"""Smoothing, levels and areas of a loss curve agree with numpy's convolution and with curves whose area is known."""

import math

import numpy as np
import pytest

from frod.evaluation import convergence


def test_the_moving_average_is_numpys():
    losses = np.random.default_rng(0).exponential(size=50)
    expected = np.convolve(losses, np.ones(10) / 10, mode="valid")
    assert convergence.smoothed(losses) == pytest.approx(expected)


def test_a_step_down_is_seen_when_the_average_has_crossed_the_level():
    # Twenty steps of 1, then 0: after k steps of 0 the average of ten is 1 - k / 10; below 0.5 first at k = 6.
    losses = np.array([1.0] * 20 + [0.0] * 20)
    assert convergence.first_step_below(losses, 0.5) == 26
    assert convergence.first_step_below(losses, 1e-9) == 30
    assert convergence.first_step_below(losses, 0.0) is None


def test_the_area_of_known_curves():
    assert convergence.area(np.full(30, 2.0), 2.0) == pytest.approx(1.0)
    # A straight line from 2 to 0: the moving average is the line itself, and its mean the middle.
    assert convergence.area(np.linspace(2.0, 0.0, 41), 2.0) == pytest.approx(0.5)
    steps = np.arange(2000)
    # The mean of exp(-k/t) over K steps is about t / K, for t much longer than the window and shorter than K.
    assert convergence.area(np.exp(-steps / 200), 1.0) == pytest.approx(200 / 2000, rel=0.03)


def test_fewer_steps_than_the_window_are_one_stretch():
    assert convergence.smoothed(np.array([1.0, 3.0])) == pytest.approx([2.0])
    assert convergence.first_step_below(np.array([1.0, 3.0]), 2.5) == 2


def test_a_loss_that_is_not_finite_has_no_area_but_the_levels_before_it():
    losses = np.concatenate([np.linspace(1, 0, 30), [math.inf, 0.0]])
    assert math.isnan(convergence.area(losses, 1.0))
    assert convergence.first_step_below(losses, 0.5) is not None


def test_what_has_no_curve_is_refused():
    with pytest.raises(ValueError, match="losses is empty"):
        convergence.smoothed(np.array([]))
    with pytest.raises(ValueError, match="start is nan"):
        convergence.area(np.ones(3), math.nan)
