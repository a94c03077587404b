"""Claim: FRoD converges faster than LoRA and its kin. Measured on the training loss, as the authors do."""

from __future__ import annotations

import math
from importlib.resources import files
from statistics import median
from typing import Any

from frod.claims.claim import (
    Verdict,
    cell,
    claim,
    contradicted,
    difference,
    figure,
    ratio,
    supported,
    table,
    undecided,
    untestable,
)
from frod.claims.curves import LEVELS, Curves
from frod.claims.evidence import TWO_SIDED, Evidence, Pair, run
from frod.claims.pairing import Paired, against, paired, runs
from frod.evaluation.formatting import fixed, interval, listed, number, p_value, signed, significant
from frod.evaluation.inference import Overall
from frod.provenance.run_keys import SUBJECT, pair_label, stopped, words

SAYS = "FRoD converges faster than LoRA and its kin."
TEST = (
    "Area under the training loss (10-step moving average) over the whole budget, in units of the loss of a uniform "
    "guess, paired by seed. FRoD is faster than a method if the mean difference over tasks is below 0: p below 0.05 "
    "after Holm's correction over all methods, and both the 95\u00a0% t interval over tasks and the bootstrap's "
    "below 0; slower if likewise above 0. Supported if it is faster than every one of LoRA and its kin (peft's "
    "methods); contradicted if slower than one. A run that diverged has no area and reached no level: with one of FRoD "
    "it is not found faster, and with one of another method not slower than that."
)
AREA_NOTE = (
    "1: the loss stayed at the start level (ln of the number of classes; of a regression the runs' mean first smoothed "
    "loss) throughout; the smaller, the faster it fell. Mean ± standard deviation over seeds. How fast a loss falls "
    "depends on the learning rates, which were chosen for the metric on validation, not for speed."
)
AGAINST_NOTE = (
    "FRoD's area less the other's: below 0, FRoD was faster. Mean over tasks with the t interval over tasks (with one "
    "task, over seeds); p two-sided, corrected over these methods after Holm (the intervals are not)."
)
LEVELS_NOTE = (
    "Levels are fractions of the start level, reached when the 10-step moving average lies below; counted to its last "
    "step. Median over seeds, where a run that did not get there, or diverged, counts as later than all; in brackets "
    "how many did, where not all. Seconds are of training alone, on whatever machine and load each run had."
)
RATIO_NOTE = (
    "FRoD's steps (seconds) over the other's: geometric mean over tasks, with the t interval over tasks (with one "
    "task, over seeds). Only pairs where both runs reached the level, and how many these are of all; where they are "
    "few, the ratio flatters the method that more often did not."
)


def converges_faster(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD's training loss falls faster than that of peft's methods."""
    curves = Curves(evidence)
    found, p = against(curves.areas, SUBJECT, evidence.others)
    tested = {method: pairs.overall for method, pairs in found.items() if pairs.overall is not None}
    tables = []
    if tested:
        levels = [_levels(evidence, curves, quantity) for quantity in ("steps", "seconds")]
        against_each = _against(evidence, tested, found, p)
        tables = [_areas(evidence, curves), against_each, *levels, _ratios(evidence, curves, list(tested))]
    return claim(
        "converges_faster",
        title="Converges faster",
        says=SAYS,
        test=TEST,
        verdict=_verdict(evidence, found, p),
        # LoRA and its kin first: the verdict rests on them.
        figures=[
            _figure(evidence.label(m), tested[m])
            for m in sorted(tested, key=lambda m: m not in evidence.peft_baselines)
        ],
        tables=[*tables, _published()],
    )


def _verdict(evidence: Evidence, found: dict[str, Paired], p: dict[str, float]) -> Verdict:
    peft_baselines = {
        method: pairs.overall for method, pairs in found.items() if method in evidence.peft_baselines and pairs.overall
    }
    lacking = _lacking(evidence, peft_baselines)
    if not lacking:
        return _judged(evidence, found, peft_baselines, p)
    failed = runs(_lost(found), evidence, SUBJECT) if evidence.peft_baselines else []
    if failed and any(key.method == SUBJECT and evidence.stopped(key) for key in evidence.undefined):
        return undecided(f"{lacking} FRoD has no run, or no finite loss, on {listed(failed)}.")
    return untestable(lacking)


def _lost(found: dict[str, Paired]) -> list[tuple[Pair, int]]:
    """Where FRoD has no figure, against whatever method."""
    return sorted({left_out for pairs in found.values() for left_out in pairs.lost})


def _lacking(evidence: Evidence, peft_baselines: dict[str, Overall]) -> str | None:
    """Why there is nothing to test; None where there is."""
    if SUBJECT not in evidence.methods or not evidence.peft_baselines:
        return f"No run of {'FRoD' if evidence.peft_baselines else 'LoRA or its kin'}."
    if not peft_baselines:
        return "No task has finite losses of FRoD and of LoRA or its kin on a shared seed."
    if all(over.deciding.n < 2 for over in peft_baselines.values()):
        return "One task with one seed leaves nothing to judge chance by."
    return None


def _judged(
    evidence: Evidence, found: dict[str, Paired], peft_baselines: dict[str, Overall], p: dict[str, float]
) -> Verdict:
    said = "; ".join(
        f"{evidence.label(method)}: {signed(over.deciding.mean, 3)} "
        f"{interval(over.deciding.low, over.deciding.high, 3)}, p {p_value(p[method])}"
        for method, over in peft_baselines.items()
    )
    tasks = max(len(over.by_group) for over in peft_baselines.values())
    said = (
        f"Area under the training loss in units of the start level, FRoD less the other, over {number(tasks, 'task')} "
        f"(mean, 95\u00a0% interval, p after Holm): {said}."
    )
    lost = runs(_lost(found), evidence, SUBJECT)
    # What was left out must not help: a method that lost runs is not found to be the slower one, nor FRoD the faster.
    if any(p[m] < TWO_SIDED and over.above(0.0) and not found[m].dropped for m, over in peft_baselines.items()):
        return contradicted(said)
    unseen = [evidence.label(method) for method in evidence.peft_baselines if method not in peft_baselines]
    if unseen or lost:
        without = [f"no shared run with a finite loss of {listed(unseen)}"] if unseen else []
        without += [f"no run of FRoD, or no finite loss, on {listed(lost)}"] if lost else []
        return undecided(f"{said} Not all could be compared: {'; '.join(without)}.")
    if all(p[method] < TWO_SIDED and over.below(0.0) for method, over in peft_baselines.items()):
        return supported(said)
    return undecided(f"{said} Neither faster than all of them nor slower than one is shown.")


def _figure(label: str, over: Overall) -> dict[str, Any]:
    of = over.deciding
    return figure(f"area less that of {label}", of.mean, low=of.low, high=of.high, unit="of the start level", n=of.n)


def _areas(evidence: Evidence, curves: Curves) -> dict[str, Any]:
    rows = []
    for pair, methods in curves.areas.items():
        cells = []
        for method in evidence.methods:
            areas = [area for area in methods.get(method, {}).values() if not math.isnan(area)]
            lost = [why for why in evidence.undefined_of(pair, method) if stopped(why)]
            cells.append(_mean(areas, lost, run(pair, method)) if areas or lost else None)
        rows.append([pair_label(*pair), cell(curves.starts[pair], text=fixed(curves.starts[pair], 3)), *cells])
    columns = ["task", "start level", *(evidence.label(method) for method in evidence.methods)]
    return table("Area under the training loss", columns, rows, note=AREA_NOTE)


def _mean(values: list[float], lost: list[str], where: str) -> dict[str, Any]:
    from frod.evaluation.statistics import over_seeds

    if not values:
        return cell(None, text=words(lost), run=where)
    of = over_seeds(values)
    text = fixed(of.mean, 3) + (f" ± {fixed(of.spread, 3)}" if of.n > 1 else "")
    return cell(of.mean, text=text + (f" ({words(lost)})" if lost else ""), run=where)


def _against(
    evidence: Evidence, tested: dict[str, Overall], found: dict[str, Paired], p: dict[str, float]
) -> dict[str, Any]:
    rows = []
    for method, over in tested.items():
        of, (low, high) = over.deciding, over.bootstrap
        rows.append(
            [
                evidence.label(method),
                difference(of, 3),
                cell(None, low=low, high=high, text=interval(low, high, 3)),
                len(over.by_group),
                found[method].pairs,
                cell(p[method], text=p_value(p[method])),
            ]
        )
    columns = ["FRoD against", "difference in area", "by bootstrap", "tasks", "pairs", "p (Holm)"]
    return table("Area under the training loss, FRoD and each other method", columns, rows, note=AGAINST_NOTE)


def _levels(evidence: Evidence, curves: Curves, quantity: str) -> dict[str, Any]:
    rows = []
    at = [curves.to_level(quantity, index) for index in range(len(LEVELS))]
    for pair, methods in at[0].items():
        for method in (method for method in evidence.methods if method in methods):
            cells = [_reached(list(of[pair][method].values()), quantity, run(pair, method)) for of in at]
            rows.append([pair_label(*pair), evidence.label(method), *cells])
    columns = ["task", "method", *(f"to {level:g}" for level in LEVELS)]
    return table(f"{quantity.capitalize()} to levels of the training loss", columns, rows, note=LEVELS_NOTE)


def _reached(values: list[float], quantity: str, where: str) -> dict[str, Any]:
    reached = [value for value in values if not math.isnan(value)]
    middle = median([*reached, *[math.inf] * (len(values) - len(reached))])
    shown = "not reached" if math.isinf(middle) else f"{middle:g}" if quantity == "steps" else significant(middle)
    if len(reached) < len(values):
        shown += f" ({len(reached)} of {len(values)} did)"
    return cell(middle, text=shown, run=where)


def _ratios(evidence: Evidence, curves: Curves, others: list[str]) -> dict[str, Any]:
    rows = []
    for quantity in ("steps", "seconds"):
        for method in others:
            cells = []
            for index in range(len(LEVELS)):
                found = paired(curves.to_level(quantity, index), SUBJECT, method, log=True)
                cells.append(_ratio(found))
            rows.append([evidence.label(method), quantity, *cells])
    columns = ["FRoD against", "in", *(f"to {level:g}" for level in LEVELS)]
    return table("Steps and seconds to levels, FRoD over each other method", columns, rows, note=RATIO_NOTE)


def _ratio(found: Paired) -> dict[str, Any] | None:
    if found.overall is None:
        return None
    pairs = f", {found.pairs} of {found.pairs + len(found.lost) + len(found.dropped)} pairs"
    return ratio(found.overall.deciding, pairs)


def _published() -> dict[str, Any]:
    import yaml

    known = yaml.safe_load(files("frod.claims").joinpath("published_curves.yaml").read_text(encoding="utf-8"))
    rows = [
        [known["names"][method], *steps, known["last_20_of_280"][method]] for method, steps in known["steps"].items()
    ]
    columns = ["method", *(f"steps to {level:g}" for level in known["levels"]), "mean of the last 20 of 280 losses"]
    note = (
        f"Published, not measured here: {known['source']}. {known['task']}. Mean over 5 runs; empty: not within 280 "
        "steps; levels are losses, and steps are counted to the first of the moving average, not to its last as above. "
        "In these logs FRoD is faster than PiSSA, VeRA and LoRA, and slower than full fine-tuning."
    )
    return table("From the authors' published logs: training loss on one task", columns, rows, note=note)
