"""The best of n trials: by the closed form what all draws with replacement give, one by one."""

from itertools import product

import numpy as np
import pytest

from frod.evaluation.best_of import best_of

FIGURES = [0.4, 0.9, 0.7, 0.7, 0.1]


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_mean_and_spread_are_those_of_every_possible_draw(n):
    best = np.array([max(draw) for draw in product(FIGURES, repeat=n)])
    found = best_of(FIGURES, n)
    assert found.mean == pytest.approx(best.mean())
    assert found.low == pytest.approx(max(best.mean() - best.std(), 0.1))
    assert found.high == pytest.approx(min(best.mean() + best.std(), 0.9))


def test_one_is_the_mean_and_one_figure_is_itself():
    assert best_of(FIGURES, 1).mean == pytest.approx(np.mean(FIGURES))
    assert best_of([0.3], 1) == (0.3, 0.3, 0.3)


@pytest.mark.parametrize("n", [0, 6])
def test_more_than_there_are_is_refused(n):
    with pytest.raises(ValueError, match=f"n is {n}; give 1 to 5"):
        best_of(FIGURES, n)
