"""The choice of learning rates: the trial that is best on validation after its last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

KEPT = ("rates", "validation", "undefined", "train_seconds")


def choose(trials: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Choose among the trials of one method on one task; of equal ones the first of the grid.

    Where none has a figure that is the grid's first, with a validation of None: the run then shows what comes of it.
    Trials are as `frod trial` writes them: rates, seed, metric, validation, undefined (why there is none), budget.

    Returns rates, index and validation of the choice, metric, seed and budget of all trials, and `trials`. ValueError
    where they differ in seed, metric or budget.
    """
    for field in ("seed", "metric", "budget"):
        for trial in trials[1:]:
            if trial[field] != trials[0][field]:
                raise ValueError(
                    f"trials cannot be compared: {field} is {trials[0][field]} in one, {trial[field]} in another"
                )
    whole = [trial for trial in trials if trial["validation"] is not None]
    best = max(whole, key=lambda trial: trial["validation"], default=trials[0])  # the first of equal ones
    return {
        "rates": dict(best["rates"]),
        "index": next(i for i, trial in enumerate(trials) if trial is best),
        "validation": best["validation"],
        "metric": best["metric"],
        "seed": best["seed"],
        "budget": best["budget"],
        "trials": [{name: trial[name] for name in KEPT} for trial in trials],
    }
