"""What the best of n trials of learning rates is expected to give, from the figures of those that were made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class BestOf(NamedTuple):
    """In the figures' unit."""

    mean: float
    low: float
    """One standard deviation below the mean, and no less than the least figure."""
    high: float
    """One above, and no more than the greatest figure."""


def best_of(figures: Sequence[float], n: int) -> BestOf:
    """Mean and spread of the greatest of n figures, drawn with replacement from those given.

    The i-th of N sorted figures is the greatest with probability (i / N)^n - ((i - 1) / N)^n.

    Raises
    ------
    ValueError
        n is not of 1 to N.

    References
    ----------
    Dodge et al., Show Your Work: Improved Reporting of Experimental Results, EMNLP 2019, equations 7 and 8.
    """
    if not 1 <= n <= len(figures):
        raise ValueError(f"n is {n}; give 1 to {len(figures)}, the number of figures")
    ordered = np.sort(np.asarray(figures, dtype=np.float64))
    weights = np.diff((np.arange(len(ordered) + 1) / len(ordered)) ** n)
    mean = float(weights @ ordered)
    spread = float(np.sqrt(weights @ (ordered - mean) ** 2))
    return BestOf(mean, max(mean - spread, float(ordered[0])), min(mean + spread, float(ordered[-1])))
