"""How fast a training loss falls: the authors' moving average, when it comes below a level, and the area beneath it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

WINDOW = 10
"""Steps of the moving average, as in the authors' plots."""


def smoothed(losses: NDArray, window: int = WINDOW) -> NDArray:
    """Mean loss of each stretch of `window` steps; of all steps where there are fewer.

    Parameters
    ----------
    losses : ndarray of shape (steps,)

    Returns
    -------
    ndarray of shape (steps - window + 1,)
        Entry k is of the steps k to k + window - 1. nan where one of them is not finite.

    Raises
    ------
    ValueError
        For no losses.
    """
    import numpy as np

    if not len(losses):
        raise ValueError("losses is empty; a run has at least one step")
    stretches = np.lib.stride_tricks.sliding_window_view(losses, min(window, len(losses)))
    means = stretches.mean(axis=1)
    return np.where(np.isfinite(means), means, np.nan)


def first_step_below(losses: NDArray, level: float, window: int = WINDOW) -> int | None:
    """Number of steps, from 1, after which the moving average first lies below a level; None where it never does.

    It counts to the stretch's last step: before that the average is not known.
    """
    import numpy as np

    below = np.flatnonzero(smoothed(losses, window) < level)
    return int(below[0]) + min(window, len(losses)) if len(below) else None


def area(losses: NDArray, start: float, window: int = WINDOW) -> float:
    """Mean of the moving average over the whole training, in units of the start level; nan where a loss is not finite.

    1: the loss stayed at the start level all the way; the smaller, the faster it fell.
    """
    if not start > 0:
        raise ValueError(f"start is {start}; right is more than 0, the loss of a guess")
    found = float(smoothed(losses, window).mean()) / start
    return found if math.isfinite(found) else math.nan
