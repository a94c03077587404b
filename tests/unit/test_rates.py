"""Boxes of rates: points fill each range evenly on a log scale, to three digits; what lies at an edge."""

import math

import numpy as np
import pytest
from scipy.stats import qmc

from frod.config.rates import Box, ByGroup, Sampler, _halton, at_edge

BOX = Box(lr_scale=[1e-3, 1e-1], lr_rotation=[1e-4, 1e-2], lr_head=[2e-3, 8e-3])


def places(count, name, seed=0):
    """Where the points lie in a range, from 0 to 1."""
    low, high = BOX.ranges[name]
    rates = [getattr(point, name) for point in BOX.points(count, Sampler(seed=seed))]
    return np.log(np.array(rates) / low) / math.log(high / low)


@pytest.mark.parametrize(("name", "base"), [("lr_scale", 2), ("lr_rotation", 3), ("lr_head", 5)])
@pytest.mark.parametrize("seed", range(3))
def test_each_range_is_filled_evenly(name, base, seed):
    """Halton's property, however it is scrambled: of base^k points one lies in each of as many equal parts."""
    parts = np.floor(base**2 * places(base**2, name, seed))
    assert sorted(parts) == list(range(base**2))


def test_points_are_those_of_scipy_to_three_digits():
    """By linear interpolation of the logarithm, and not by the power that the code takes."""
    shares = qmc.Halton(3, rng=np.random.default_rng(5)).random(6)
    ends = np.log10(list(BOX.ranges.values()))
    expected = 10 ** (ends[:, 0] + shares * (ends[:, 1] - ends[:, 0]))
    found = np.array([list(point.model_dump(exclude_none=True).values()) for point in BOX.points(6, Sampler(seed=5))])
    assert found == pytest.approx(expected, rel=5.01e-3)
    assert all(rate == float(f"{rate:.3g}") for rate in found.ravel())


@pytest.mark.parametrize("dimensions", range(1, len(ByGroup.model_fields) + 1))
def test_shares_are_those_of_scipy_to_the_bit(dimensions):
    """Suites with a box keep their rates, and with them the hashes of their runs."""
    for seed, count in [(0, 1), (0, 200), (5, 12), (2**31, 12)]:
        drawn = qmc.Halton(dimensions, rng=np.random.default_rng(seed)).random(count)
        assert _halton(dimensions, count, seed) == drawn.tolist()


def test_sixteen_points_begin_with_the_eight():
    assert BOX.points(16, Sampler())[:8] == BOX.points(8, Sampler())
    assert BOX.points(8, Sampler(seed=1)) != BOX.points(8, Sampler())


def test_methods_share_the_places_of_their_rates():
    """No method is luckier in its draw: the first rate of each lies alike in its range."""
    other = Box(lr=[1e-5, 1e-3], lr_head=[2e-3, 8e-3])
    for one, two in zip(BOX.points(8, Sampler()), other.points(8, Sampler())):
        assert two.lr == pytest.approx(one.lr_scale / 100, rel=1e-9)


@pytest.mark.parametrize(
    ("place", "names"),
    [(0.0, ["lr"]), (0.124, ["lr"]), (0.126, []), (0.5, []), (0.874, []), (0.876, ["lr"]), (1.0, ["lr"])],
)
def test_the_outer_eighth_is_the_edge(place, names):
    box = {"lr": [1e-4, 1e-2], "lr_head": [1e-3, 3e-2]}
    assert at_edge(box, {"lr": 10 ** (-4 + 2 * place), "lr_head": 5e-3}) == names
