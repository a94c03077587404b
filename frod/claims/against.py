"""FRoD against each other method in one quantity: better than every one of LoRA and its kin, or worse than one.

"Better than every one" is an intersection-union test: each must be shown, so that no correction is needed. "Worse than
one" is a union: any of them would do, so that their p values are corrected, over LoRA and its kin, which the claims are
about, and over no other method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from frod.claims.claim import cell, difference, ratio, table
from frod.claims.evidence import ONE_SIDED, Evidence, Values
from frod.claims.pairing import Paired, paired
from frod.evaluation import formatting as show
from frod.evaluation.inference import Overall, holm, p_value
from frod.evaluation.statistics import Difference
from frod.provenance.run_keys import SUBJECT, pair_label

NOTE = (
    "Mean over tasks with its 95\u00a0% t interval: about tasks like these, at rates chosen like these (with one task: "
    "about that task, over seeds). These tasks alone: only the seeds are left to chance (Welch). By family: tasks that "
    "share data or a backbone count as one. p two-sided; p worse one-sided, after Holm over LoRA and its kin alone."
)


def rule(better: str, worse: str) -> str:
    """How a verdict is reached, in sentences."""
    return (
        f"FRoD is {better} than a method where the 95\u00a0% t interval of the mean over tasks lies on that side of 0. "
        f"Supported if it is {better} than every one of LoRA and its kin (peft's methods); contradicted if {worse} "
        "than one of them: one-sided p below 0.025 after Holm's correction over them, and none of that method's runs "
        "or trials without a figure. With one task its t interval over seeds decides."
    )


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What methods are compared in."""

    label: str
    values: Values
    more_is_better: bool
    log: bool = False
    """Compared as a ratio."""
    digits: int = 2
    least: int = 1
    """Tasks that a verdict takes."""

    def shown(self, of: Difference) -> dict[str, Any]:
        """A mean with its interval."""
        return ratio(of) if self.log else difference(of, self.digits)


@dataclass(frozen=True, kw_only=True)
class Against:
    """FRoD and another method in one quantity."""

    quantity: Quantity
    method: str
    paired: Paired
    over: Overall
    p_worse: float
    """That FRoD is the worse one; nan for a method that is none of LoRA and its kin, and where there is no test."""

    @property
    def enough(self) -> bool:
        """Whether there are tasks enough to judge."""
        return len(self.over.groups) >= self.quantity.least

    @property
    def better(self) -> bool:
        """Whether FRoD is shown to be better."""
        return self.enough and (self.over.above(0.0) if self.quantity.more_is_better else self.over.below(0.0))

    @property
    def worse(self) -> bool:
        """Whether FRoD is shown to be worse, and no run of the other was left out that would say otherwise."""
        return self.p_worse < ONE_SIDED and not self.paired.dropped


def against_each(evidence: Evidence, *quantities: Quantity) -> list[Against]:
    """FRoD against all other methods that share a run with it, LoRA and its kin first: verdicts rest on them."""
    methods = sorted(evidence.others, key=lambda method: method not in evidence.peft_baselines)
    found = [
        (quantity, method, pairs, pairs.overall)
        for quantity in quantities
        for method in methods
        for pairs in [paired(quantity.values, SUBJECT, method, log=quantity.log)]
        if pairs.overall is not None
    ]
    worse = {
        (quantity.label, method): p_value(over.deciding, alternative="less" if quantity.more_is_better else "greater")
        if len(over.groups) >= quantity.least
        else math.nan
        for quantity, method, _, over in found
        if method in evidence.peft_baselines
    }
    corrected = dict(zip(worse, holm(list(worse.values()))))
    return [
        Against(quantity=of, method=m, paired=pairs, over=over, p_worse=corrected.get((of.label, m), math.nan))
        for of, m, pairs, over in found
    ]


def sentence(evidence: Evidence, found: Sequence[Against]) -> str:
    """Each comparison's figures, and what they are about."""
    each = []
    for of in found:
        deciding = of.over.deciding
        said = f"{of.quantity.label}, {evidence.label(of.method)}: {of.quantity.shown(deciding)['text']}"
        if deciding.has_interval:
            said += f", p {show.p_value(p_value(deciding))}, p worse {show.p_value(of.p_worse)}"
        each.append(f"{said} ({show.number(len(of.over.groups), 'task')})")
    several = max(len(of.over.groups) for of in found) > 1
    rates = evidence.at_these_rates({SUBJECT, *(of.method for of in found)})
    scope = f"for {'tasks like these' if several else 'this task'}, {rates}"
    return f"FRoD against each, {scope} (mean, 95\u00a0% interval, p, p worse after Holm): {'; '.join(each)}."


def not_shown(evidence: Evidence, found: Sequence[Against], better: str, worse: str) -> str:
    """Why neither is shown: differences too small or, where FRoD is the worse one, what the other's figures lack."""
    barred = [of.method for of in found if of.p_worse < ONE_SIDED and of.paired.dropped]
    if not barred:
        return f"Neither {better} than all of them nor {worse} than one is shown."
    names = show.listed([evidence.label(method) for method in dict.fromkeys(barred)])
    return (
        f"Not {better} than all of them; whether {worse} than {names} its runs or trials without a figure leave open."
    )


def table_of(evidence: Evidence, found: Sequence[Against], title: str, note: str) -> dict[str, Any]:
    """A row for each comparison, with what stands beside the verdict."""
    rows = []
    for of in found:
        beside = [of.over.fixed, of.over.over_families(evidence.families)] if len(of.over.groups) > 1 else [None] * 2
        left_out = list(dict.fromkeys(pair_label(*pair) for pair, _ in (*of.paired.lost, *of.paired.dropped)))
        p = p_value(of.over.deciding)
        rows.append(
            [
                of.quantity.label,
                evidence.label(of.method),
                of.quantity.shown(of.over.deciding),
                *(of.quantity.shown(one) if one and one.has_interval else None for one in beside),
                len(of.over.groups),
                of.paired.pairs,
                cell(p, text=show.p_value(p)),
                cell(of.p_worse, text=show.p_value(of.p_worse)),
                show.listed(left_out) or None,
            ]
        )
    columns = ["of", "FRoD against", "mean", "these tasks alone", "by family", "tasks", "pairs", "p", "p worse (Holm)"]
    return table(title, [*columns, "left out: no figure"], rows, note=f"{note} {NOTE}")
