"""Two methods set against each other run by run: which pairs there are, which were left out, and what they give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frod.claims.evidence import CONFIDENCE, Evidence, Pair, Values
from frod.evaluation.inference import Overall, holm, overall
from frod.evaluation.statistics import differences
from frod.provenance.run_keys import RunKey, pair_label, word


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Differences of one method to another, by task and seed."""

    groups: dict[Pair, dict[int, float]]
    """Tasks without a pair are not in it."""
    lost: tuple[tuple[Pair, int], ...]
    """Pairs left out as the first method has no run or no figure there: to its advantage, if anything."""
    dropped: tuple[tuple[Pair, int], ...]
    """Pairs left out as the other alone has none."""
    overall: Overall | None
    """None where there is no pair."""

    @property
    def pairs(self) -> int:
        """How many there are, over all tasks."""
        return sum(map(len, self.groups.values()))


def paired(values: Values, subject: str, other: str, *, log: bool = False) -> Paired:
    """Differences `subject - other` over the tasks and seeds where both have a figure; the rest is kept by name.

    Parameters
    ----------
    log : bool
        Of the logarithms, for ratios; a value of zero then counts as undefined.
    """
    groups: dict[Pair, dict[int, float]] = {}
    lost: list[tuple[Pair, int]] = []
    dropped: list[tuple[Pair, int]] = []
    for pair, methods in values.items():
        ours, others = (_defined(methods.get(method, {}), log=log) for method in (subject, other))
        seeds = sorted({*methods.get(subject, {}), *methods.get(other, {})})
        lost += [(pair, seed) for seed in seeds if seed not in ours]
        dropped += [(pair, seed) for seed in seeds if seed in ours and seed not in others]
        if found := differences(ours, others):
            groups[pair] = found
    return Paired(
        groups=groups,
        lost=tuple(lost),
        dropped=tuple(dropped),
        overall=overall({pair_label(*pair): of for pair, of in groups.items()}, confidence=CONFIDENCE)
        if groups
        else None,
    )


def against(values: Values, subject: str, others: Iterable[str]) -> tuple[dict[str, Paired], dict[str, float]]:
    """The subject against each other method, and Holm's correction over those that share a run with it.

    Returns
    -------
    paired : dict of method to Paired
    p : dict of method to float
        Corrected p value of the two-sided test over tasks; nan where it could not be done.
    """
    found = {other: paired(values, subject, other) for other in others}
    tested = {other: pairs.overall.p for other, pairs in found.items() if pairs.overall is not None}
    return found, dict(zip(tested, holm(list(tested.values()))))


def runs(left_out: Iterable[tuple[Pair, int]], evidence: Evidence, method: str) -> list[str]:
    """Pairs that were left out for want of a figure of a method, by name, and why where it ran."""
    return [
        f"{pair_label(*pair)}, seed {seed}{f' ({word(why)})' if why else ''}"
        for pair, seed in left_out
        for why in [evidence.undefined.get(RunKey(*pair, method, seed))]
    ]


def _defined(values: Mapping[int, float], *, log: bool) -> dict[int, float]:
    if log:
        return {seed: math.log(value) for seed, value in values.items() if value > 0}
    return {seed: value for seed, value in values.items() if not math.isnan(value)}
