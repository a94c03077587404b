"""Two methods set against each other run by run: which pairs there are, which were left out, and what they give."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from frod.claims.evidence import CONFIDENCE, Evidence, OnTest, Pair, Values
from frod.evaluation.examples import with_examples
from frod.evaluation.inference import Overall, overall
from frod.evaluation.statistics import Difference, differences
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


def paired(
    values: Values, subject: str, other: str, *, log: bool = False, on_test: Mapping[RunKey, OnTest] | None = None
) -> Paired:
    """Differences `subject - other` over the tasks and seeds where both have a figure; the rest is kept by name.

    Parameters
    ----------
    log : bool
        Of the logarithms, for ratios; a value of zero then counts as undefined.
    on_test : mapping, optional
        Where `values` are points on test: a task's own interval then leaves its test examples to chance, too.
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
        overall=overall(
            {pair_label(*pair): of for pair, of in groups.items()},
            confidence=CONFIDENCE,
            known=_with_examples(groups, subject, other, on_test or {}),
        )
        if groups
        else None,
    )


def _with_examples(
    groups: Mapping[Pair, Mapping[int, float]], subject: str, other: str, on_test: Mapping[RunKey, OnTest]
) -> dict[str, Difference]:
    import numpy as np

    found = {}
    for pair, of in groups.items():
        ours, others = ([on_test.get(RunKey(*pair, method, seed)) for seed in of] for method in (subject, other))
        if all(ours) and all(others):
            blocks = [100 * (one.blocks - two.blocks) for one, two in zip(ours, others) if one and two]
            found[pair_label(*pair)] = with_examples(of, np.stack(blocks), confidence=CONFIDENCE)
    return found


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
