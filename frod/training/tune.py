"""The choice of learning rates: those that are best on validation after the last step, in the mean over their seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any


def choose(trials: Sequence[Mapping[str, Any]], box: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Choose among the points of one method on one task; of equal ones that with the least loss, then the first.

    A point is what trials of the same rates have in common; its figures are their means, and it has none where one of
    them has none. Where no point has a figure they are equal, with a validation of None: the run then shows what comes
    of it. Trials are as `frod trial` writes them: rates, seed, metric, validation, validation_loss, undefined (why
    there is no figure), budget.

    Returns rates, index and validation of the choice, metric, seeds and budget of all, the `box` that the points were
    drawn in, and the points under `trials`. ValueError where trials differ in metric or in budget, or points in seeds.
    """
    points: dict[tuple, list[Mapping[str, Any]]] = {}
    for trial in trials:
        points.setdefault(tuple(trial["rates"].items()), []).append(trial)
    tried = list(map(_point, points.values()))
    seeds = [[trial["seed"] for trial in of_point] for of_point in points.values()]
    first = {trial["seed"]: trial for trial in reversed(trials)}  # a budget names the order of examples, its seed's own
    alike = [("seeds", seeds[0], found) for found in seeds]
    alike += [(of, first[trial["seed"]][of], trial[of]) for trial in trials for of in ("metric", "budget")]
    for field, one, other in alike:
        if one != other:
            raise ValueError(f"trials cannot be compared: {field} is {one} for one, {other} for another")
    best = max(tried, key=_merit)  # the first of equal ones
    return {
        "rates": best["rates"],
        "index": next(i for i, point in enumerate(tried) if point is best),
        "validation": best["validation"],
        "metric": trials[0]["metric"],
        "seeds": seeds[0],
        "budget": trials[0]["budget"],
        "box": box,
        "trials": tried,
    }


def _point(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    def mean(name: str) -> float | None:
        values = [trial[name] for trial in trials]
        return None if None in values else fmean(values)

    return {
        "rates": dict(trials[0]["rates"]),
        "validation": mean("validation"),
        "validation_loss": mean("validation_loss"),
        "undefined": next(filter(None, (trial["undefined"] for trial in trials)), None),
        "train_seconds": sum(trial["train_seconds"] for trial in trials),
    }


def _merit(point: Mapping[str, Any]) -> tuple[float, float]:
    """Metric, then loss; what a point lacks is worse than any value."""
    metric, loss = point["validation"], point["validation_loss"]
    return -math.inf if metric is None else metric, -math.inf if loss is None else -loss
