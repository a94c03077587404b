"""Learning rate over the steps: a factor on every group's rate."""

from __future__ import annotations

import math

from frod.config import Training


def factor(step: int, steps: int, training: Training) -> float:
    """Return the factor of optimiser step `step` (from 0): linear warm-up, then cosine or linear to 0, or constant."""
    warm = round(training.warmup * steps)
    if step < warm:
        return (step + 1) / (warm + 1)
    if training.schedule == "constant":
        return 1.0
    done = (step - warm) / max(1, steps - warm)
    return 0.5 * (1 + math.cos(math.pi * done)) if training.schedule == "cosine" else 1.0 - done
