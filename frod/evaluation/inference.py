"""Whether a difference is shown: Student's t over tasks, Holm's correction, and what stands beside the verdict.

A group is a task, and its values are the differences of paired seeds. Over tasks, the tasks are the units: what is said
is about tasks like these, not about these seeds. The t interval of the tasks' means decides. It holds all that makes
these means differ, the seeds' noise included, once: its error rate is exact where the means are normal, and it needs no
bootstrap beside it, which would draw the seeds a second time. It is not proof against a few tasks that lose far more
than the rest and happen not to be among those that ran (`python -m bench.verdicts` has the rates).

Values that are all the same leave nothing to judge chance by: test and interval are then nan, as for one value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Literal

from frod.evaluation.statistics import Difference, mean_interval, over_seeds


@dataclass(frozen=True, kw_only=True)
class Overall:
    """Differences of several groups, each by itself and all together."""

    groups: Mapping[str, Mapping[int, float]]
    known: Mapping[str, Difference]
    confidence: float

    @cached_property
    def by_group(self) -> dict[str, Difference]:
        """Of each group by itself."""
        found = {name: mean_interval(of, confidence=self.confidence) for name, of in self.groups.items()}
        return found | dict(self.known)

    @cached_property
    def over_groups(self) -> Difference:
        """Of the groups' means: each group counts alike, however many pairs it has."""
        return mean_interval(self._means, confidence=self.confidence)

    @property
    def _means(self) -> dict[str, float]:
        return {name: fmean(of.values()) for name, of in self.groups.items()}

    @property
    def deciding(self) -> Difference:
        """What a verdict rests on: the groups as units or, where there is but one, itself."""
        return self.over_groups if len(self.groups) > 1 else next(iter(self.by_group.values()))

    @cached_property
    def fixed(self) -> Difference:
        """The same mean, of these very groups: only pairs within a group are left to chance (Welch, 1947)."""
        each = [over_seeds(list(of.values())) for of in self.groups.values()]
        variances = [of.spread**2 / of.n for of in each]
        total = math.fsum(variances)
        error = df = math.nan  # also where a group has one pair
        if total > 0:
            error = math.sqrt(total) / len(each)
            df = total**2 / math.fsum(v**2 / (of.n - 1) for v, of in zip(variances, each))
        return mean_interval(self._means, confidence=self.confidence, error=error, df=df)

    def over_families(self, family_of: Mapping[str, str]) -> Difference:
        """Of the means of families of groups: what groups of one family share is then no chance of its own.

        Parameters
        ----------
        family_of : mapping of group to family
        """
        means: dict[str, list[float]] = {}
        for name, mean in self._means.items():
            means.setdefault(family_of[name], []).append(mean)
        return mean_interval({family: fmean(of) for family, of in means.items()}, confidence=self.confidence)

    def above(self, bound: float) -> bool:
        """Whether the interval lies above a bound."""
        return self.deciding.low > bound

    def below(self, bound: float) -> bool:
        """Whether the interval lies below a bound."""
        return self.deciding.high < bound


def overall(
    groups: Mapping[str, Mapping[int, float]],
    *,
    confidence: float = 0.95,
    known: Mapping[str, Difference] | None = None,
) -> Overall:
    """Differences by group, with their intervals.

    Parameters
    ----------
    groups : mapping of group to its differences by pair
        Such as task to seed to difference; each group has at least one.
    confidence : float
        Of every interval, two-sided.
    known : mapping of group to Difference, optional
        Of groups whose error is known from more than their pairs.

    Raises
    ------
    ValueError
        For no groups, an empty one, or a difference that is not finite.
    """
    if not groups:
        raise ValueError("groups is empty; differences over tasks need at least one task")
    return Overall(groups=groups, known=known or {}, confidence=confidence)


def p_value(
    of: Difference, null: float = 0.0, alternative: Literal["two-sided", "greater", "less"] = "two-sided"
) -> float:
    """P value of the t test that the mean is `null`, or not greater, or not less; nan where there is no interval."""
    from scipy.special import stdtr

    t = (of.mean - null) / of.error
    if alternative == "two-sided":
        return 2 * float(stdtr(of.df, -abs(t)))
    return float(stdtr(of.df, -t if alternative == "greater" else t))


def non_inferiority_p(of: Difference, margin: float) -> float:
    """P value of the one-sided t test that the mean is at most -margin; nan where there is no interval.

    A small one shows that the mean lies above -margin. It is below (1 - c) / 2 exactly where the two-sided interval of
    confidence c lies above -margin.
    """
    if not margin > 0:
        raise ValueError(f"margin is {margin}; right is more than 0, in the unit of the differences")
    return p_value(of, -margin, "greater")


def binomial_p(successes: int, trials: int, chance: float) -> float:
    """P value of the exact binomial test that each trial succeeds with this chance or less.

    By the incomplete beta function, as `scipy.stats.binomtest` computes it, whose import takes half a second.
    """
    from scipy.special import betainc

    return float(betainc(successes, trials - successes + 1, chance)) if successes else 1.0


def sign_p(more: int, less: int) -> float:
    """P value of the one-sided exact sign test that more is no more frequent than less; 1 where there is neither.

    Parameters
    ----------
    more, less : int
        Groups in which one side has more than the other, and less; those where both have the same are left out.
    """
    return binomial_p(more, more + less, 0.5)


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
