"""What repeated seeds allow one to say: mean, spread, and paired differences with their interval.

Methods are compared seed by seed: a seed fixes the data order and the head's start for every method, so the
difference within a seed is free of what both methods share. Student's t gives the interval; with two or three seeds
it is wide, and that is the honest width. One seed has no spread and no interval, and gets nan for both. Differences
that are all the same have no interval either: of a metric that counts examples they are a coincidence, no certainty.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NO_SPREAD = 1e-9
"""A standard deviation below it is rounding: one example of a million changes an accuracy by a thousand times more."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean of n values and their sample standard deviation (divisor n - 1; nan for n = 1)."""

    mean: float
    spread: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean of n paired differences, each pair's own, and the interval of the mean (nan for n = 1, or no spread)."""

    mean: float
    low: float
    high: float
    n: int
    each: tuple[float, ...]
    pairs: tuple[int | str, ...]
    error: float
    """Standard error of the mean; nan where there is no interval."""
    df: float
    """Degrees of freedom of Student's t."""

    @property
    def has_interval(self) -> bool:
        """Whether there were two pairs or more, and they differed."""
        return not math.isnan(self.low)


def over_seeds(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation of the values of some seeds.

    Raises
    ------
    ValueError
        For no values, or one that is not finite: leave undefined runs out by name, not by accident.
    """
    n = len(values)
    if not n:
        raise ValueError("values is empty; a mean needs at least one run")
    bad = [value for value in values if not math.isfinite(value)]
    if bad:
        raise ValueError(f"values holds {bad[0]}; right are finite numbers")
    mean = math.fsum(values) / n
    if n == 1:
        return Spread(mean=mean, spread=math.nan, n=1)
    return Spread(mean=mean, spread=math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1)), n=n)


def differences(values: Mapping[int, float], reference: Mapping[int, float]) -> dict[int, float]:
    """`values - reference` over the seeds that both have: one that only one of them has is no pair."""
    return {seed: values[seed] - reference[seed] for seed in sorted(set(values) & set(reference))}


def paired_difference(
    values: Mapping[int, float], reference: Mapping[int, float], *, confidence: float = 0.95
) -> Difference | None:
    """Mean of the differences with its t interval; None where no seed is shared."""
    found = differences(values, reference)
    return mean_interval(found, confidence=confidence) if found else None


def mean_interval(
    named: Mapping[int, float] | Mapping[str, float],
    *,
    confidence: float = 0.95,
    error: float | None = None,
    df: float | None = None,
) -> Difference:
    """Mean of named differences with its t interval: over the seeds of a task, or over tasks.

    Parameters
    ----------
    error, df : float, optional
        Standard error of the mean and its degrees of freedom, where they are known from more than these differences.
        Default: those of independent ones.

    Raises
    ------
    ValueError
        For no differences, one that is not finite, or a confidence outside (0, 1).
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; right is between 0 and 1, as 0.95")
    each = tuple(named.values())
    summary = over_seeds(each)
    if error is None or df is None:
        error, df = summary.spread / math.sqrt(summary.n), summary.n - 1
    low = high = math.nan
    if error * math.sqrt(summary.n) > NO_SPREAD:
        from scipy.special import stdtrit

        half = float(stdtrit(df, (1 + confidence) / 2)) * error
        low, high = summary.mean - half, summary.mean + half
    else:
        error = math.nan
    mean = summary.mean
    return Difference(mean=mean, low=low, high=high, n=len(each), each=each, pairs=tuple(named), error=error, df=df)
