"""Learning rates by group of parameters: one of each, or a range of each and the points that are drawn between."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, Field

from frod.config.schema import Seed, StrictModel

EDGE = 1 / 8
"""A rate that lies nearer to an end of its range than this share of it, on a log scale, is at the edge."""
HEAD = "lr_head"
PRIMES = (2, 3, 5, 7)  # one for each field of `ByGroup`
Of = TypeVar("Of")


def _ordered(ends: list[float]) -> list[float]:
    if not ends[0] < ends[1]:
        raise ValueError(f"is {ends}; give the lower end, then a higher one")
    return ends


Rate = Annotated[float, Field(gt=0, lt=10)]
Range = Annotated[list[Rate], Field(min_length=2, max_length=2), AfterValidator(_ordered)]


class ByGroup(StrictModel, Generic[Of]):
    """Something of each rate that a method has."""

    lr: Of | None = None
    """Of all that is trained outside the head (full_ft, peft)."""
    lr_scale: Of | None = None
    """FRoD's scaling factors lambda."""
    lr_rotation: Of | None = None
    """FRoD's rotation S."""
    lr_head: Of | None = None
    """The classifier; a generation and a choice by likelihood have none to train."""


class Rates(ByGroup[Rate]):
    """Learning rates of one method on one experiment."""


class Sampler(StrictModel):
    """How points are drawn."""

    kind: Literal["halton"] = "halton"
    """A scrambled Halton sequence: each rate's range is filled evenly, and more trials keep those that are there."""
    seed: Seed = 0
    """Of the scrambling; the same for all methods."""


class Tune(StrictModel):
    """How the audited protocol chooses learning rates: by trials, judged on validation."""

    trials: Annotated[int, Field(ge=1, le=1000)] = 8
    """Points that are drawn in each box, the same number for every method; of a grid each entry is one."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [100]
    """Seeds of the trials, none of the suite's. Each point trains once with each; its figure is their mean."""
    sampler: Sampler = Sampler()
    """How points are drawn in a box."""
    training: dict[str, Any] = {}
    """What differs from the runs' training, for the trials of all methods."""


class Box(ByGroup[Range]):
    """Ranges of one method's learning rates, [lowest, highest]. Points lie evenly on a log scale."""

    @property
    def ranges(self) -> dict[str, list[float]]:
        """The ranges that the box has."""
        return self.model_dump(exclude_none=True)

    @property
    def ratios(self) -> dict[str, float]:
        """Highest over lowest of each rate outside the head."""
        return {name: high / low for name, (low, high) in self.ranges.items() if name != HEAD}

    def points(self, count: int, sampler: Sampler) -> list[Rates]:
        """Draw so many points, rounded to three significant digits; the first of more are the same.

        ValueError where the box is too narrow for so many. Source: Owen, arXiv 1706.02808 (scrambled Halton points).
        """
        drawn = [
            {name: _between(ends, share) for (name, ends), share in zip(self.ranges.items(), shares)}
            for shares in _halton(len(self.ranges), count, sampler.seed)
        ]
        if len({tuple(point.values()) for point in drawn}) < count:
            raise ValueError(f"is too narrow for {count} points that differ in three digits; widen it")
        return [Rates(**point) for point in drawn]


def at_edge(box: Mapping[str, Sequence[float]], rates: Mapping[str, float]) -> list[str]:
    """Names of the rates that lie in the outer eighth of their range in a box, at either end."""
    return [
        name for name, (low, high) in box.items() if not EDGE <= math.log(rates[name] / low, high / low) <= 1 - EDGE
    ]


@cache
def _halton(dimensions: int, count: int, seed: int) -> list[list[float]]:
    """`scipy.stats.qmc.Halton`, to the bit, without the half second that scipy.stats takes to be imported.

    The digits of a point's number, in another prime for each dimension, are permuted and stand behind the point. Each
    digit that a float holds has its own permutation: the zeros before a number are scrambled, too.
    """
    import numpy as np

    random, columns = np.random.default_rng(seed).spawn(1)[0], []  # as scipy does
    for base in PRIMES[:dimensions]:
        permutations = np.repeat(np.arange(base)[None], math.ceil(54 / math.log2(base)) - 1, axis=0)
        for permutation in permutations:
            random.shuffle(permutation)
        columns.append([_reversed(number, base, permutations.tolist()) for number in range(count)])
    return [list(point) for point in zip(*columns)]


def _reversed(number: int, base: int, permutations: Sequence[Sequence[int]]) -> float:
    """The number's digits behind the point, each permuted, the last one first."""
    share, weight = 0.0, 1 / base
    for permuted in permutations:
        number, digit = divmod(number, base)
        share += permuted[digit] * weight
        weight /= base
    return share


def _between(ends: list[float], share: float) -> float:
    low, high = ends
    return float(f"{low * (high / low) ** share:.3g}")
