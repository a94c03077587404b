"""Beside the verdicts, in a suite with several forms of FRoD: what becomes of it when one thing about it is changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import Any

from frod.claims.against import Quantity
from frod.claims.claim import cell, table
from frod.claims.evidence import Evidence, Pair, Values, run, values_of
from frod.claims.full_rank import effective_ranks
from frod.claims.more_robust import means_over_box
from frod.claims.pairing import paired
from frod.claims.sharpness import rises
from frod.evaluation.formatting import fixed, number, significant
from frod.evaluation.inference import Overall
from frod.provenance.run_keys import SUBJECT, RunKey, pair_label

TEXT = (
    "Each method less FRoD as the suite has it, paired by seed. First come the other forms of FRoD, then methods of "
    "other kinds, for scale. Where rates were tuned, they were chosen anew for each, in as many trials."
)
NOTE = (
    "Mean over the tasks of both, with its 95\u00a0% interval about these very tasks: seeds alone are left to chance "
    "(Welch). What has one figure a task, or does not vary over seeds, has none. "
)
WORDS = (
    "Area: mean of the metric over the checks during training. Rank: effective, in points of the full. Numbers: those "
    "trained outside the head. Ratios are geometric means. Nothing is corrected for the number of intervals: one in "
    "twenty misses by chance."
)


def ablation(evidence: Evidence) -> dict[str, Any] | None:
    """The section that sets each method against FRoD, as claims.json holds it; None where there is one form of FRoD."""
    variants = [method for method in evidence.others if evidence.kinds.get(method) == "frod"]
    if not variants or SUBJECT not in evidence.methods:
        return None
    methods = variants + [method for method in evidence.others if method not in variants]
    quantities = [quantity for quantity in _quantities(evidence) if quantity.values]
    found = {
        (quantity.label, method): overall
        for quantity in quantities
        for method in methods
        if (overall := paired(quantity.values, method, SUBJECT, log=quantity.log).overall) is not None
    }
    return {
        "id": "ablation",
        "title": "FRoD with one thing changed",
        "text": TEXT,
        "forests": [
            {"id": name} | _forest(quantity, methods, found) for name, quantity in zip(("metric", "loss"), quantities)
        ],
        "tables": ([_whole(evidence, quantities, methods, found)] if len(evidence.points) > 1 else [])
        + [_of_task(evidence, quantities, methods, found, pair) for pair in evidence.points],
    }


def _quantities(evidence: Evidence) -> list[Quantity]:
    numbers, seconds = values_of(_trained(evidence)), values_of(_seconds(evidence))
    return [
        Quantity(label="test metric, points", values=evidence.points, more_is_better=True, digits=1),
        Quantity(label="test loss", values=evidence.losses, more_is_better=False, digits=3),
        Quantity(label="area under validation, points", values=areas(evidence), more_is_better=True, digits=1),
        Quantity(label="mean over the box, points", values=means_over_box(evidence), more_is_better=True, digits=1),
        Quantity(label="sharpness, %", values=rises(evidence), more_is_better=False, digits=3),
        Quantity(label="rank, points", values=effective_ranks(evidence), more_is_better=True, digits=1),
        Quantity(label="numbers, ratio", values=numbers, more_is_better=False, log=True),
        Quantity(label="seconds of training, ratio", values=seconds, more_is_better=False, log=True),
    ]


def areas(evidence: Evidence) -> Values:
    """Mean of the watched metric over the checks of a training, in points: they are evenly spaced, after each epoch.

    nan where the training stopped, or one of its checks is undefined, as a correlation with a constant is.
    """

    def each() -> Iterator[tuple[RunKey, float]]:
        for key, history in evidence.histories.items():
            watched = [str(name) for name in history if str(name).startswith(("validation_", "test_"))]
            checks = history[watched[0]].dropna() if watched and not evidence.stopped(key) else ()
            whole = len(checks) and len(checks) == evidence.records[key]["evaluations"][watched[0].partition("_")[0]]
            yield key, 100 * fmean(checks) if whole else math.nan

    return values_of(each())


def _trained(evidence: Evidence) -> Iterator[tuple[RunKey, float]]:
    columns = (evidence.summary[name] for name in (*RunKey._fields, "adapter_parameters"))
    return ((RunKey(*key), float(count)) for *key, count in zip(*columns))


def _seconds(evidence: Evidence) -> Iterator[tuple[RunKey, float]]:
    stopped = {key for key in evidence.undefined if evidence.stopped(key)}
    whole = (key for key in evidence.records if key not in stopped)
    return ((key, float(evidence.records[key]["resources"]["train_seconds"])) for key in whole)


def _forest(quantity: Quantity, methods: list[str], found: dict[tuple[str, str], Overall]) -> dict[str, Any]:
    """A quantity's differences by method: what the figure draws."""
    means = {m: found[quantity.label, m].fixed for m in methods if (quantity.label, m) in found}
    return {
        "of": quantity.label,
        "more_is_better": quantity.more_is_better,
        "digits": quantity.digits,
        "rows": [{"method": m, "value": of.mean, "low": of.low, "high": of.high} for m, of in means.items()],
    }


def _whole(
    evidence: Evidence, quantities: list[Quantity], methods: list[str], found: dict[tuple[str, str], Overall]
) -> dict[str, Any]:
    rows = [
        [evidence.label(method), *(_shown(of, found.get((of.label, method)), None) for of in quantities)]
        for method in methods
    ]
    title = f"Each method less FRoD, mean over {number(len(evidence.points), 'task')}"
    return table(title, ["method", *(of.label for of in quantities)], rows, note=NOTE + WORDS)


def _of_task(
    evidence: Evidence,
    quantities: list[Quantity],
    methods: list[str],
    found: dict[tuple[str, str], Overall],
    pair: Pair,
) -> dict[str, Any]:
    own = [_mean(quantity, pair) for quantity in quantities]
    rows = [
        [evidence.label(method), *(_shown(of, found.get((of.label, method)), pair) for of in quantities)]
        for method in methods
    ]
    title = f"Each method less FRoD: {pair_label(*pair)}"
    note = f"The first row has FRoD's own figures, as means over seeds; intervals are 95\u00a0% t, over seeds. {WORDS}"
    columns = ["method", *(quantity.label for quantity in quantities)]
    return table(title, columns, [[evidence.label(SUBJECT), *own], *rows], note=note)


def _shown(quantity: Quantity, overall: Overall | None, pair: Pair | None) -> dict[str, Any] | None:
    if overall is None:
        return None
    of = overall.by_group.get(pair_label(*pair)) if pair else overall.fixed
    return quantity.shown(of) if of else None


def _mean(quantity: Quantity, pair: Pair) -> dict[str, Any] | None:
    """FRoD's own figure on a task."""
    defined = [v for v in quantity.values.get(pair, {}).get(SUBJECT, {}).values() if not math.isnan(v)]
    if not defined:
        return None
    mean = fmean(defined)
    text = significant(mean) if quantity.log else fixed(mean, quantity.digits)
    return cell(mean, text=text, run=run(pair, SUBJECT))
