"""Claim: FRoD is more robust. Taken as less spread over seeds, and less loss where a learning rate is off."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frod.claims.claim import (
    Verdict,
    cell,
    claim,
    contradicted,
    figure,
    from_log,
    ratio,
    supported,
    table,
    undecided,
    untestable,
)
from frod.claims.evidence import TWO_SIDED, Evidence, Pair, Values, run
from frod.claims.failures import Failures, Sign
from frod.claims.pairing import Paired, paired
from frod.evaluation.formatting import fixed, listed, number, p_value, ratio_interval, significant
from frod.evaluation.inference import Overall, holm
from frod.evaluation.statistics import NO_SPREAD, over_seeds
from frod.provenance.run_keys import SUBJECT, pair_label, words

SAYS = "FRoD converges more robustly than LoRA and its kin."
LEAST = 3
TEST = (
    "Two ratios FRoD / other by task: of the standard deviations over seeds (test), and of the ranges from the best to "
    "the worst trial of the learning rates (validation). FRoD varies less in one of these two senses if the mean log "
    f"ratio over at least {LEAST} tasks is below 0: p below 0.05 after Holm's correction over methods and senses, and "
    "both the 95\u00a0% t interval over tasks and the bootstrap's below 0; it varies more if likewise above 0. "
    "Supported if in both senses it varies less than every one of LoRA and its kin (peft's methods); contradicted if "
    "in either it varies more than one of them. The range over rates counts for FRoD only where its grid is nowhere "
    "narrower, and against it only where it is nowhere wider. Where a run or trial has no figure (it "
    "diverged, or its metric is undefined), its task has no spread; it counts against the method: the claim is not "
    "supported where one of FRoD has none, and contradicted where that is so on more tasks than of one of them (exact "
    "sign test over tasks, one-sided p below 0.025 after Holm)."
)
SEEDS_NOTE = (
    "Standard deviation over seeds of the test metric, in points; in brackets the seeds. From few seeds it is itself "
    "poorly known. A method that fails alike on every seed has a small one."
)
RATES_NOTE = (
    "Validation metric of the best trial less that of the worst, in points. Grids differ by method, and the range with "
    "them: x is the factor between the largest and the smallest value tried of the rate that varies most. Trials "
    "without a figure are counted; a task with one is not in the ratio below."
)
RATIO_NOTE = (
    "Geometric mean over tasks with the t interval over tasks; below 1, FRoD varies less. p two-sided, corrected over "
    "all of these after Holm (the intervals are not)."
)


@dataclass(frozen=True, kw_only=True)
class Sense:
    """One sense of robust: a spread of each method on each task."""

    label: str
    spreads: Values
    """In points, under the key 0; nan where a run is missing, or a run or trial gave no figure. Tasks without a spread
    are left out."""
    none: dict[str, list[Pair]]
    """Which those are, by method."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """FRoD and another method in one sense."""

    sense: Sense
    method: str
    paired: Paired
    over: Overall
    p: float
    """Corrected."""

    @property
    def enough(self) -> bool:
        """Whether there are tasks enough to judge."""
        return len(self.over.by_group) >= LEAST

    @property
    def larger(self) -> bool:
        """Whether FRoD's spread is shown to be larger, and no task was left out that would say otherwise."""
        shown = self.enough and self.p < TWO_SIDED and self.over.above(0.0)
        return shown and not self.paired.dropped and not self.sense.none.get(SUBJECT)

    @property
    def smaller(self) -> bool:
        """Whether FRoD's spread is shown to be smaller, and no task was left out that would say otherwise."""
        shown = self.enough and self.p < TWO_SIDED and self.over.below(0.0)
        return shown and not self.paired.lost and not self.sense.none.get(self.method)


def more_robust(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD varies less than peft's methods over seeds and over learning rates."""
    seeds, rates = _over_seeds(evidence), _over_rates(evidence)
    compared = _compare(evidence, (seeds, rates))
    lost = Failures(evidence)
    signs = lost.signs(evidence.peft_baselines)
    tables = [_seeds_table(evidence)] if seeds.spreads else []
    tables += [_rates_table(evidence)] if evidence.tuning else []
    tables += [_ratio_table(evidence, compared)] if compared else []
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


def _over_seeds(evidence: Evidence) -> Sense:
    spreads: dict[tuple[Pair, str], float] = {}
    for pair, methods in evidence.points.items():
        # Over the same seeds for all: a standard deviation of fewer values is smaller in the mean of its logarithm.
        seeds = sorted({seed for points in methods.values() for seed in points})
        for method in evidence.methods if len(seeds) > 1 else ():
            values = [methods.get(method, {}).get(seed, math.nan) for seed in seeds]
            whole = not any(math.isnan(value) for value in values)
            spreads[pair, method] = over_seeds(values).spread if whole else math.nan
    return _sense("standard deviation over seeds", spreads)


def _over_rates(evidence: Evidence) -> Sense:
    spreads = {}
    for (task, backbone, method), chosen in sorted(evidence.tuning.items(), key=lambda item: item[0]):
        figures = [trial["validation"] for trial in chosen["trials"]]
        if len(figures) > 1:
            spreads[(task, backbone), method] = math.nan if None in figures else 100 * (max(figures) - min(figures))
    return _sense("range over learning rates", spreads)


def _sense(label: str, spreads: Mapping[tuple[Pair, str], float]) -> Sense:
    kept: Values = {}
    none: dict[str, list[Pair]] = {}
    for (pair, method), spread in spreads.items():
        if spread < NO_SPREAD:
            none.setdefault(method, []).append(pair)
        else:
            kept.setdefault(pair, {})[method] = {0: spread}
    return Sense(label=label, spreads=kept, none=none)


def _compare(evidence: Evidence, senses: Sequence[Sense]) -> list[Compared]:
    found = [(s, m, paired(_both(s.spreads, m), SUBJECT, m, log=True)) for s in senses for m in evidence.others]
    tested = [(sense, method, pairs, pairs.overall) for sense, method, pairs in found if pairs.overall is not None]
    corrected = holm([over.p if len(over.by_group) >= LEAST else math.nan for *_, over in tested])
    return [
        Compared(sense=sense, method=method, paired=pairs, over=over, p=p)
        for (sense, method, pairs, over), p in zip(tested, corrected)
    ]


def _both(spreads: Values, method: str) -> Values:
    """Tasks where FRoD and the other have a spread; the others are those of `Sense.none`, or were not tuned."""
    return {pair: of for pair, of in spreads.items() if SUBJECT in of and method in of}


def _verdict(
    evidence: Evidence,
    senses: Sequence[Sense],
    compared: list[Compared],
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
    peft_baselines = [of for of in compared if of.method in evidence.peft_baselines]
    if not any(of.enough for of in peft_baselines):
        most = max((len(of.over.by_group) for of in peft_baselines), default=0)
        said = f"It takes {LEAST} tasks with a spread of both methods; there are at most {most}.{lost.sentence()}"
        return undecided(said) if lost.on(SUBJECT) else untestable(said)
    each = "; ".join(_said(evidence, of) for of in peft_baselines)
    said = f"FRoD's spread over the other's (ratio, 95\u00a0% interval, p after Holm): {each}."
    none = [
        f"{evidence.label(method)} on {pair_label(*pair)} ({sense.label})"
        for sense in senses
        for method in (SUBJECT, *evidence.peft_baselines)
        for pair in sense.none.get(method, [])
    ]
    said += f" Left out, as there is no spread at all: {listed(none)}." if none else ""
    said += lost.sentence()
    if any(of.larger and (of.sense is senses[0] or _grids(evidence, of, wider=False)) for of in peft_baselines):
        return contradicted(said)
    open_ = _open(evidence, senses, peft_baselines, lost)
    return undecided(f"{said} {open_}") if open_ else supported(said)


def _open(evidence: Evidence, senses: Sequence[Sense], peft_baselines: list[Compared], lost: Failures) -> str | None:
    """Why FRoD is not shown to be more robust in both senses than all; None where it is."""
    if lost.on(SUBJECT):
        return f"FRoD has no figure on {listed([pair_label(*pair) for pair in lost.on(SUBJECT)])}."
    enough = {(of.sense.label, of.method) for of in peft_baselines if of.enough}
    short = [s.label for s in senses if any((s.label, m) not in enough for m in evidence.peft_baselines)]
    if short:
        return f"Fewer than {LEAST} tasks to compare for the {' and the '.join(short)}."
    missing = sorted({pair for of in peft_baselines for pair, _ in of.paired.lost})
    if missing:
        return f"Runs or trials of FRoD are missing on {listed([pair_label(*pair) for pair in missing])}."
    if not all(of.smaller for of in peft_baselines):
        return "Neither less spread than each of them nor more than one is shown."
    narrow = [
        evidence.label(of.method)
        for of in peft_baselines
        if of.sense is senses[1] and not _grids(evidence, of, wider=True)
    ]
    return f"But FRoD's grid of rates is narrower than that of {listed(narrow)}." if narrow else None


def _said(evidence: Evidence, of: Compared) -> str:
    mean = of.over.deciding
    said = f"{of.sense.label}, {evidence.label(of.method)}: {significant(from_log(mean.mean))}"
    if mean.has_interval and len(of.over.by_group) > 1:
        said += f" {ratio_interval(from_log(mean.low), from_log(mean.high))}, p {p_value(of.p)}"
    return said + f" ({number(len(of.over.by_group), 'task')})"


def _span(chosen: Mapping[str, Any]) -> float:
    """Largest over smallest value tried, of the rate that varies most."""
    rates = [trial["rates"] for trial in chosen["trials"]]
    return max(max(r[group] for r in rates) / min(r[group] for r in rates) for group in rates[0])


def _grids(evidence: Evidence, of: Compared, *, wider: bool) -> bool:
    """Whether FRoD's grid is on every compared task at least (wider), or at most, as wide as the other's."""
    for task, backbone in of.paired.groups:
        ours, other = (_span(evidence.tuning[task, backbone, method]) for method in (SUBJECT, of.method))
        if (ours < other * (1 - 1e-9)) if wider else (ours > other * (1 + 1e-9)):
            return False
    return True


def _figure(evidence: Evidence, of: Compared) -> dict[str, Any]:
    mean = of.over.over_groups
    value, low, high = (from_log(logarithm) for logarithm in (mean.mean, mean.low, mean.high))
    return figure(
        f"{of.sense.label}, over that of {evidence.label(of.method)}", value, low=low, high=high, unit="ratio", n=mean.n
    )


def _seeds_table(evidence: Evidence) -> dict[str, Any]:
    rows = []
    for pair, methods in evidence.points.items():
        cells: list[dict[str, Any] | None] = []
        for method in evidence.methods:
            defined = [value for value in methods.get(method, {}).values() if not math.isnan(value)]
            lost = evidence.undefined_of(pair, method)
            if len(defined) < 2:
                cells.append(cell(None, text=words(lost), run=run(pair, method)) if lost else None)
                continue
            of = over_seeds(defined)
            text = f"{fixed(of.spread)} ({', '.join(filter(None, [str(of.n), words(lost)]))})"
            cells.append(cell(of.spread, text=text, run=run(pair, method)))
        rows.append([pair_label(*pair), *cells])
    columns = ["task", *(evidence.label(method) for method in evidence.methods)]
    return table("Spread over seeds", columns, rows, note=SEEDS_NOTE)


def _rates_table(evidence: Evidence) -> dict[str, Any]:
    rows = []
    for task, backbone in sorted({(task, backbone) for task, backbone, _ in evidence.tuning}):
        cells = []
        for method in evidence.methods:
            chosen = evidence.tuning.get((task, backbone, method))
            cells.append(None if chosen is None else _range(chosen, run((task, backbone), method)))
        rows.append([pair_label(task, backbone), *cells])
    columns = ["task", *(evidence.label(method) for method in evidence.methods)]
    return table("Range over learning rates", columns, rows, note=RATES_NOTE)


def _range(chosen: Mapping[str, Any], where: str) -> dict[str, Any]:
    trials = chosen["trials"]
    figures = [trial["validation"] for trial in trials if trial["validation"] is not None]
    lost = [trial["undefined"] for trial in trials if trial["undefined"]]
    notes = filter(None, [f"x {_span(chosen):.3g}", f"{len(trials)} trials", words(lost)])
    spread = 100 * (max(figures) - min(figures)) if figures else math.nan
    return cell(spread, text=f"{fixed(spread)} ({', '.join(notes)})", run=where)


def _ratio_table(evidence: Evidence, compared: list[Compared]) -> dict[str, Any]:
    rows = []
    for of in compared:
        ends = [from_log(end) for end in of.over.bootstrap]
        left_out = [pair_label(*pair) for pair, _ in (*of.paired.lost, *of.paired.dropped)]
        rows.append(
            [
                of.sense.label,
                evidence.label(of.method),
                ratio(of.over.over_groups),
                cell(None, low=ends[0], high=ends[1], text=ratio_interval(*ends)),
                len(of.over.by_group),
                cell(of.p, text=p_value(of.p)),
                listed(left_out) or None,
            ]
        )
    columns = ["spread", "FRoD over", "ratio", "by bootstrap", "tasks", "p (Holm)", "left out: no figure"]
    return table("Spread of FRoD over that of each other method", columns, rows, note=RATIO_NOTE)
