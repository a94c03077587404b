"""Whether a difference is shown: a t test in each group, Holm's correction over groups, and two intervals over groups.

A group is a task, and its values are the differences of paired seeds. Over tasks, the tasks are the units: what is said
is about tasks like these, not about these seeds. Student's t interval over the tasks' means is exact where those are
normal; the hierarchical bootstrap does without normality, but is too narrow where tasks are few. A claim is called
shown, or contradicted, only where both agree, so that its error rate is at most that of the t interval. Neither is
proof against a few tasks that lose far more than the rest and happen not to be among those that ran: of exponential
losses at the margin about 11 % of suites of four tasks, 10 % of eight and 7 % of twenty would be called a match, in
place of 2.5 %.

Values that are all the same leave nothing to judge chance by: test and interval are then nan, as for one value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from frod.evaluation.statistics import Difference, mean_interval

DRAWS = 10_000


class Interval(NamedTuple):
    """From low to high; both nan where there is none."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Overall:
    """Differences of several groups, each by itself and all together."""

    by_group: dict[str, Difference]
    over_groups: Difference
    """Of the groups' means: each group counts alike, however many pairs it has."""
    confidence: float
    draws: int
    seed: int

    @cached_property
    def bootstrap(self) -> Interval:
        """Interval of groups, then pairs within each, drawn with replacement; nan for one group."""
        each = [found.each for found in self.by_group.values()]
        if len(each) < 2:
            return Interval(math.nan, math.nan)
        return bootstrap(each, confidence=self.confidence, draws=self.draws, seed=self.seed)

    @property
    def deciding(self) -> Difference:
        """What a verdict rests on: the groups as units or, where there is but one, its own pairs."""
        return self.over_groups if len(self.by_group) > 1 else next(iter(self.by_group.values()))

    @property
    def p(self) -> float:
        """Of the two-sided t test that the mean is zero; nan where there is no interval."""
        return difference_p(self.deciding.each)

    def above(self, bound: float) -> bool:
        """Whether the t interval, and the bootstrap's where there are several groups, lie above a bound."""
        return self.deciding.low > bound and (len(self.by_group) == 1 or self.bootstrap.low > bound)

    def below(self, bound: float) -> bool:
        """Whether the t interval, and the bootstrap's where there are several groups, lie below a bound."""
        return self.deciding.high < bound and (len(self.by_group) == 1 or self.bootstrap.high < bound)


def overall(
    groups: Mapping[str, Mapping[int, float]], *, confidence: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Overall:
    """Differences by group, with their intervals.

    Parameters
    ----------
    groups : mapping of group to its differences by pair
        Such as task to seed to difference; each group has at least one.
    confidence : float
        Of every interval, two-sided.
    draws, seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        For no groups, an empty one, or a difference that is not finite.
    """
    if not groups:
        raise ValueError("groups is empty; differences over tasks need at least one task")
    by_group = {name: mean_interval(values, confidence=confidence) for name, values in groups.items()}
    return Overall(
        by_group=by_group,
        over_groups=mean_interval({name: found.mean for name, found in by_group.items()}, confidence=confidence),
        confidence=confidence,
        draws=draws,
        seed=seed,
    )


def difference_p(differences: Sequence[float]) -> float:
    """P value of the two-sided t test that the mean is zero; nan for one value, or values without spread."""
    return _t_test(differences, 0.0, "two-sided")


def non_inferiority_p(differences: Sequence[float], margin: float) -> float:
    """P value of the one-sided t test that the mean is at most -margin; nan for one value, or values without spread.

    A small one shows that the mean lies above -margin. It is below (1 - c) / 2 exactly where the two-sided interval of
    confidence c lies above -margin.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; right is more than 0, in the unit of the differences")
    return _t_test(differences, -margin, "greater")


def _t_test(differences: Sequence[float], null: float, alternative: str) -> float:
    if not mean_interval(dict(enumerate(differences))).has_interval:
        return math.nan
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, null, alternative=alternative).pvalue)


def sign_p(more: int, less: int) -> float:
    """P value of the one-sided exact sign test that more is no more frequent than less; 1 where there is neither.

    Parameters
    ----------
    more, less : int
        Groups in which one side has more than the other, and less; those where both have the same are left out.
    """
    from scipy.stats import binomtest

    return float(binomtest(more, more + less, alternative="greater").pvalue) if more + less else 1.0


def holm(p_values: Sequence[float]) -> list[float]:
    """P values corrected after Holm, so that the chance of any false finding among them is at most the level.

    One that is nan, a test that could not be done, stays nan, and counts as one that found nothing: leaving it out
    would make the others' correction depend on what came out.
    """
    counted = [1.0 if math.isnan(p) else p for p in p_values]
    corrected = [math.nan] * len(counted)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(counted)), key=counted.__getitem__)):
        highest = max(highest, min(1.0, (len(counted) - rank) * counted[index]))
        if not math.isnan(p_values[index]):
            corrected[index] = highest
    return corrected


def bootstrap(groups: Sequence[Sequence[float]], *, confidence: float, draws: int = DRAWS, seed: int = 0) -> Interval:
    """Percentile interval of the mean of group means: groups, then values within each, drawn with replacement.

    Parameters
    ----------
    groups : sequence of sequences of float
        They may differ in length; none is empty.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    lengths = np.array([len(values) for values in groups])
    padded = np.zeros((len(groups), lengths.max()))
    for row, values in zip(padded, groups):
        row[: len(values)] = values
    # Axes: draw, place of a group, place of a value within it.
    drawn = rng.integers(len(groups), size=(draws, len(groups)))
    places = lengths[drawn][..., None]
    which = np.minimum((rng.random((*drawn.shape, lengths.max())) * places).astype(int), places - 1)
    counted = np.arange(lengths.max()) < places
    sums = np.where(counted, padded[drawn[..., None], which], 0.0).sum(axis=-1)
    means = (sums / places[..., 0]).mean(axis=-1)
    low, high = np.quantile(means, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
