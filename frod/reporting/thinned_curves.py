"""Loss over steps, thinned so that a page stays light: means over bins of steps, the same bins for every run."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from frod.provenance.run_keys import RunKey

Points = list[tuple[float, float]]
"""(step, value), by step."""


def thin(history: pd.DataFrame, column: str = "loss", *, bins: int = 60) -> Points:
    """At most `bins` points: the mean of each stretch of steps, at its mean step.

    A stretch with a loss that is not finite gives nan: a run that broke must not look like one that did not. Bins
    go by row, so runs of one budget share their steps and can be averaged.
    """
    values = history[column].astype(float).tolist()
    steps = history["step"].astype(float).tolist()
    rows = len(values)
    edges = [round(i * rows / min(bins, rows)) for i in range(min(bins, rows) + 1)] if rows else [0]
    thinned = []
    for low, high in itertools.pairwise(edges):
        stretch = values[low:high]
        mean = math.fsum(stretch) / len(stretch) if all(map(math.isfinite, stretch)) else math.nan
        thinned.append((math.fsum(steps[low:high]) / (high - low), mean))
    return thinned


def measured(history: pd.DataFrame, column: str) -> Points:
    """The rows where the column was measured; validation is not, in most steps."""
    if column not in history:
        return []
    pairs = zip(history["step"].astype(float), history[column].astype(float))
    return [(step, value) for step, value in pairs if math.isfinite(value)]


def mean_curve(curves: Sequence[Points]) -> Points:
    """Mean over seeds at the steps that all have; nan where one of them is."""
    if not curves:
        return []
    by_step = [dict(curve) for curve in curves]
    shared = sorted(set(by_step[0]).intersection(*by_step[1:]))
    return [(step, math.fsum(curve[step] for curve in by_step) / len(by_step)) for step in shared]


def broken(history: pd.DataFrame) -> int:
    """How many steps had a loss that is not finite."""
    return sum(not math.isfinite(value) for value in history["loss"].astype(float))


def by_method(histories: Mapping[RunKey, pd.DataFrame], task: str, backbone: str) -> dict[str, dict[int, pd.DataFrame]]:
    """Histories of one task and backbone: method to seed to history."""
    found: dict[str, dict[int, pd.DataFrame]] = {}
    for key in sorted(histories):
        if (key.task, key.backbone) == (task, backbone):
            found.setdefault(key.method, {})[key.seed] = histories[key]
    return found
