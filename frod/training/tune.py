"""The choice of learning rates: the trial that is best on validation after its last step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

KEPT = ("rates", "validation", "validation_loss", "undefined", "train_seconds")


def choose(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose among the trials of one method on one task; of equal ones that with the least loss, then the grid's first.

    Where none has a figure they are equal, with a validation of None: the run then shows what comes of it. Trials are
    as `frod trial` writes them: rates, seed, metric, validation, validation_loss, undefined (why there is no figure),
    budget.

    Returns rates, index and validation of the choice, metric, seed and budget of all trials, and `trials`. ValueError
    where they differ in seed, metric or budget.
    """
    for field in ("seed", "metric", "budget"):
        for trial in trials[1:]:
            if trial[field] != trials[0][field]:
                raise ValueError(
                    f"trials cannot be compared: {field} is {trials[0][field]} in one, {trial[field]} in another"
                )
    best = max(trials, key=_merit)  # the first of equal ones
    return {
        "rates": dict(best["rates"]),
        "index": next(i for i, trial in enumerate(trials) if trial is best),
        "validation": best["validation"],
        "metric": best["metric"],
        "seed": best["seed"],
        "budget": best["budget"],
        "trials": [{name: trial[name] for name in KEPT} for trial in trials],
    }


def _merit(trial: Mapping[str, Any]) -> tuple[float, float]:
    """Metric, then loss; what a trial lacks is worse than any value."""
    metric, loss = trial["validation"], trial["validation_loss"]
    return -math.inf if metric is None else metric, -math.inf if loss is None else -loss
