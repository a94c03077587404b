"""Claim: FRoD is more robust. Taken as less spread over seeds, and as a better figure at rates that nobody chose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from frod.claims.against import Against, Quantity, against_each, not_shown, rule, sentence, table_of
from frod.claims.claim import (
    Verdict,
    cell,
    claim,
    contradicted,
    figure,
    from_log,
    supported,
    table,
    undecided,
    untestable,
)
from frod.claims.evidence import Evidence, Pair, Values, run
from frod.claims.failures import Failures, Sign
from frod.evaluation.formatting import fixed, listed, significant
from frod.evaluation.statistics import NO_SPREAD, over_seeds
from frod.provenance.run_keys import SUBJECT, pair_label, words

SAYS = "FRoD converges more robustly than LoRA and its kin."
LEAST = 3
SEEDS, RATES = "spread of the test loss over seeds", "mean validation over the box"
TEST = (
    "Two senses, by task: the standard deviation of the test loss over seeds (as a ratio FRoD / other: less is more "
    "robust), and the mean of validation over the box of learning rates, all that were drawn (FRoD less the other: "
    "more is more robust), which is what one trial is expected to give: the best of n = 1. Outside the head boxes span "
    "the same ratio for every method; rates that somebody listed say nothing of this. "
    f"{rule('more robust', 'less robust')} That takes at least {LEAST} tasks, and both senses; Holm's correction is "
    "over both together. Where a run or trial has no figure (it diverged, or its metric is undefined), its "
    "task has none; it counts against the method: the claim is not supported where one of FRoD has none, and "
    "contradicted where that is so on more tasks than of one of them (exact sign test over tasks, one-sided p below "
    "0.025 after Holm)."
)
SEEDS_NOTE = (
    "Standard deviation over seeds of the loss on test (mean cross-entropy; of a regression, squared error); in "
    "brackets the seeds. From few seeds it is itself poorly known. A method that fails alike on every seed has a small "
    "one."
)
RATES_NOTE = (
    "Mean of the validation metric, times one hundred, over all that were drawn. Those without a figure are counted; a "
    "task with one is not compared below."
)
AGAINST_NOTE = "Spread: geometric mean of FRoD's over the other's. Validation: FRoD's mean less the other's, in points."


def more_robust(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD varies less than peft's methods over seeds, and does better at rates that nobody chose."""
    seeds = Quantity(label=SEEDS, values=_spreads(evidence), more_is_better=False, log=True, least=LEAST)
    rates = Quantity(label=RATES, values=means_over_box(evidence), more_is_better=True, least=LEAST)
    compared = against_each(evidence, seeds, rates)
    lost = Failures(evidence)
    signs = lost.signs(evidence.peft_baselines)
    tables = [_seeds_table(evidence, seeds)] if seeds.values else []
    tables += [_rates_table(evidence)] if _drawn(evidence) else []
    tables += [table_of(evidence, compared, "FRoD and each other method", AGAINST_NOTE)] if compared else []
    tables += [lost.table(signs)] if lost.any else []
    return claim(
        "more_robust",
        title="More robust",
        says=SAYS,
        test=TEST,
        verdict=_verdict(evidence, (seeds, rates), compared, lost, signs),
        figures=[_figure(evidence, of) for of in compared if of.method in evidence.peft_baselines]
        + lost.figures([SUBJECT, *evidence.peft_baselines]),
        tables=tables,
    )


def _spreads(evidence: Evidence) -> Values:
    """Standard deviation of the test loss, in place of seeds under the key 0; nan where a run is missing or failed."""
    spreads: Values = {}
    for pair, methods in evidence.losses.items():
        # Over the same seeds for all: a standard deviation of fewer values is smaller in the mean of its logarithm.
        seeds = sorted({seed for losses in methods.values() for seed in losses})
        for method in evidence.methods if len(seeds) > 1 else ():
            losses = [methods.get(method, {}).get(seed, math.nan) for seed in seeds]
            spread = math.nan if any(map(math.isnan, losses)) else over_seeds(losses).spread
            none = spread <= NO_SPREAD * abs(fmean(losses))  # but for rounding
            spreads.setdefault(pair, {})[method] = {0: 0.0 if none else spread}
    return spreads


def means_over_box(evidence: Evidence) -> Values:
    """Mean of validation over the box, in points, under the key 0; nan where a point has no figure."""
    means: Values = {}
    for (task, backbone, method), points in _drawn(evidence).items():
        figures = [point["validation"] for point in points]
        if len(figures) > 1:
            means.setdefault((task, backbone), {})[method] = {0: math.nan if None in figures else 100 * fmean(figures)}
    return means


def _drawn(evidence: Evidence) -> dict[tuple[str, str, str], list[dict[str, Any]]]:
    """What was tried by task, backbone and method, where rates were drawn in a box."""
    tuned = sorted(evidence.tuning.items(), key=lambda item: item[0])
    return {key: chosen["trials"] for key, chosen in tuned if chosen.get("box")}


def _verdict(
    evidence: Evidence,
    senses: Sequence[Quantity],
    compared: list[Against],
    lost: Failures,
    signs: Mapping[str, Sign],
) -> Verdict:
    if SUBJECT not in evidence.methods or not evidence.peft_baselines:
        return untestable(f"No run of {'FRoD' if evidence.peft_baselines else 'LoRA or its kin'}.")
    worse = [evidence.label(method) for method, sign in signs.items() if sign.shown]
    if worse:
        return contradicted(
            f"FRoD's runs are without a figure on more tasks than those of {listed(worse)}.{lost.sentence()}"
        )
    baselines = [of for of in compared if of.method in evidence.peft_baselines]
    if not any(of.enough for of in baselines):
        most = max((len(of.over.groups) for of in baselines), default=0)
        said = f"It takes {LEAST} tasks with a figure of both methods; there are at most {most}.{lost.sentence()}"
        return undecided(said) if lost.on(SUBJECT) else untestable(said)
    said = sentence(evidence, baselines) + lost.sentence()
    none = _without_spread(evidence, senses[0])
    if any(of.worse and (of.quantity is senses[1] or not none) for of in baselines):
        return contradicted(said)
    if none:
        return undecided(f"{said} No spread at all, and so no ratio: {listed(none)}.")
    open_ = _open(evidence, senses, baselines, lost)
    return undecided(f"{said} {open_}") if open_ else supported(said)


def _without_spread(evidence: Evidence, seeds: Quantity) -> list[str]:
    """Where runs of FRoD, or of LoRA and its kin, are all the same: to leave them out would bias the ratio."""
    return [
        f"{evidence.label(method)} on {pair_label(*pair)}"
        for pair, methods in seeds.values.items()
        for method in (SUBJECT, *evidence.peft_baselines)
        if methods.get(method, {}).get(0) == 0.0
    ]


def _open(evidence: Evidence, senses: Sequence[Quantity], baselines: list[Against], lost: Failures) -> str | None:
    """Why FRoD is not shown to be more robust in both senses than all; None where it is."""
    if lost.on(SUBJECT):
        return f"FRoD has no figure on {listed([pair_label(*pair) for pair in lost.on(SUBJECT)])}."
    enough = {(of.quantity.label, of.method) for of in baselines if of.enough}
    short = [s.label for s in senses if any((s.label, m) not in enough for m in evidence.peft_baselines)]
    if short:
        return f"Fewer than {LEAST} tasks to compare for the {' and the '.join(short)}."
    missing = sorted({pair for of in baselines for pair, _ in of.paired.lost})
    if missing:
        return f"Runs or trials of FRoD are missing on {listed([pair_label(*pair) for pair in missing])}."
    if not all(of.better for of in baselines):
        return not_shown(evidence, baselines, "more robust", "less robust")
    return None


def _figure(evidence: Evidence, against: Against) -> dict[str, Any]:
    of, log = against.over.over_groups, against.quantity.log
    value, low, high = map(from_log, (of.mean, of.low, of.high)) if log else (of.mean, of.low, of.high)
    name = f"{against.quantity.label}, {'over' if log else 'less'} that of {evidence.label(against.method)}"
    return figure(name, value, low=low, high=high, unit="ratio" if log else "points", n=of.n)


def _seeds_table(evidence: Evidence, seeds: Quantity) -> dict[str, Any]:
    def of(pair: Pair, method: str) -> dict[str, Any] | None:
        defined = [loss for loss in evidence.losses[pair].get(method, {}).values() if not math.isnan(loss)]
        lost = evidence.undefined_of(pair, method)
        if len(defined) < 2:
            return cell(None, text=words(lost), run=run(pair, method)) if lost else None
        spread = over_seeds(defined)
        text = f"{significant(spread.spread)} ({', '.join(filter(None, [str(spread.n), words(lost)]))})"
        return cell(spread.spread, text=text, run=run(pair, method))

    return _by_method(evidence, list(seeds.values), of, "Spread of the test loss over seeds", SEEDS_NOTE)


def _rates_table(evidence: Evidence) -> dict[str, Any]:
    drawn = _drawn(evidence)

    def of(pair: Pair, method: str) -> dict[str, Any] | None:
        points = drawn.get((*pair, method))
        if points is None:
            return None
        figures = [point["validation"] for point in points if point["validation"] is not None]
        lost = [point["undefined"] for point in points if point["undefined"]]
        notes = filter(None, [f"{len(points)} drawn", words(lost)])
        mean = 100 * fmean(figures) if figures else math.nan
        return cell(mean, text=f"{fixed(mean)} ({', '.join(notes)})", run=run(pair, method))

    pairs = sorted({(task, backbone) for task, backbone, _ in drawn})
    return _by_method(evidence, pairs, of, "Mean validation over the box", RATES_NOTE)


def _by_method(
    evidence: Evidence,
    pairs: Sequence[Pair],
    of: Callable[[Pair, str], dict[str, Any] | None],
    title: str,
    note: str,
) -> dict[str, Any]:
    """A row for each task, a column for each method."""
    rows = [[pair_label(*pair), *(of(pair, method) for method in evidence.methods)] for pair in pairs]
    return table(title, ["task", *(evidence.label(method) for method in evidence.methods)], rows, note=note)
