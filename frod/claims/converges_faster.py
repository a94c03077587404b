"""Claim: FRoD converges faster than LoRA and its kin. Measured on the training loss, as the authors do."""

from __future__ import annotations

import math
from importlib.resources import files
from statistics import median
from typing import Any

from frod.claims.against import Against, Quantity, against_each, not_shown, rule, sentence, table_of
from frod.claims.claim import (
    Verdict,
    cell,
    claim,
    contradicted,
    figure,
    ratio,
    supported,
    table,
    undecided,
    untestable,
)
from frod.claims.curves import LEVELS, Curves
from frod.claims.evidence import Evidence, Pair, Values, run
from frod.claims.pairing import Paired, paired, runs
from frod.evaluation.formatting import fixed, listed, significant
from frod.provenance.run_keys import SUBJECT, pair_label, stopped, words

SAYS = "FRoD converges faster than LoRA and its kin."
TEST = (
    "Area under the training loss (10-step moving average) over the whole budget, in units of the loss of a uniform "
    f"guess, paired by seed; less is faster. {rule('faster', 'slower')} A run that diverged has no area and reached no "
    "level: with one of FRoD it is not found faster, and with one of another method not slower than that."
)
AREA_NOTE = (
    "1: the loss stayed at the start level (ln of the number of classes; of a regression the runs' mean first smoothed "
    "loss) throughout; the smaller, the faster it fell. Mean ± standard deviation over seeds. How fast a loss falls "
    "depends on the learning rates, which were chosen for the metric on validation, not for speed."
)
AGAINST_NOTE = "FRoD's area less the other's: below 0, FRoD was faster."
LEVELS_NOTE = (
    "Levels are fractions of the start level, reached when the 10-step moving average lies below; counted to its last "
    "step. Median over seeds, where a run that did not get there, or diverged, counts as later than all; in brackets "
    "how many did, where not all. Seconds are of training alone, on whatever machine and load each run had."
)
RATIO_NOTE = (
    "FRoD's steps (seconds) over the other's: geometric mean over tasks, with the t interval over tasks (with one "
    "task, over seeds). A run that did not reach the level, or diverged, counts with the whole budget, at its own "
    "pace: where there are such pairs (how many, of all), the ratio is nearer to 1 than the truth. Empty: no run did."
)


def converges_faster(evidence: Evidence) -> dict[str, Any]:
    """Judge whether FRoD's training loss falls faster than that of peft's methods."""
    curves = Curves(evidence)
    area = Quantity(label="area under the loss", values=curves.areas, more_is_better=False, digits=3)
    found = against_each(evidence, area)
    tables = []
    if found:
        title = "Area under the training loss, FRoD and each other method"
        levels = [_levels(evidence, curves, quantity) for quantity in ("steps", "seconds")]
        against = table_of(evidence, found, title, AGAINST_NOTE)
        tables = [_areas(evidence, curves), against, *levels, _ratios(evidence, curves, [of.method for of in found])]
    return claim(
        "converges_faster",
        title="Converges faster",
        says=SAYS,
        test=TEST,
        verdict=_verdict(evidence, curves, found),
        figures=[_figure(evidence.label(of.method), of) for of in found],
        tables=[*tables, _published()],
    )


def _verdict(evidence: Evidence, curves: Curves, found: list[Against]) -> Verdict:
    baselines = [of for of in found if of.method in evidence.peft_baselines]
    lost = _lost(evidence, curves)
    lacking = _lacking(evidence, baselines)
    if not lacking:
        return _judged(evidence, baselines, runs(lost, evidence, SUBJECT))
    failed = runs(lost, evidence, SUBJECT) if evidence.peft_baselines else []
    if failed and any(key.method == SUBJECT and evidence.stopped(key) for key in evidence.undefined):
        return undecided(f"{lacking} FRoD has no run, or no finite loss, on {listed(failed)}.")
    return untestable(lacking)


def _lost(evidence: Evidence, curves: Curves) -> list[tuple[Pair, int]]:
    """Where FRoD has no figure, against whatever method."""
    return sorted({lost for method in evidence.others for lost in paired(curves.areas, SUBJECT, method).lost})


def _lacking(evidence: Evidence, baselines: list[Against]) -> str | None:
    """Why there is nothing to test; None where there is."""
    if SUBJECT not in evidence.methods or not evidence.peft_baselines:
        return f"No run of {'FRoD' if evidence.peft_baselines else 'LoRA or its kin'}."
    if not baselines:
        return "No task has finite losses of FRoD and of LoRA or its kin on a shared seed."
    if all(of.over.deciding.n < 2 for of in baselines):
        return "One task with one seed leaves nothing to judge chance by."
    return None


def _judged(evidence: Evidence, baselines: list[Against], lost: list[str]) -> Verdict:
    said = sentence(evidence, baselines)
    # What was left out must not help: a method that lost runs is not found to be the slower one, nor FRoD the faster.
    if any(of.worse for of in baselines):
        return contradicted(said)
    unseen = [evidence.label(m) for m in evidence.peft_baselines if m not in [of.method for of in baselines]]
    if unseen or lost:
        without = [f"no shared run with a finite loss of {listed(unseen)}"] if unseen else []
        without += [f"no run of FRoD, or no finite loss, on {listed(lost)}"] if lost else []
        return undecided(f"{said} Not all could be compared: {'; '.join(without)}.")
    if all(of.better for of in baselines):
        return supported(said)
    return undecided(f"{said} {not_shown(evidence, baselines, 'faster', 'slower')}")


def _figure(label: str, against: Against) -> dict[str, Any]:
    of = against.over.deciding
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
                whole = paired(curves.to_level(quantity, index, capped=True), SUBJECT, method, log=True)
                cells.append(_ratio(whole, curves.to_level(quantity, index), method))
            rows.append([evidence.label(method), quantity, *cells])
    columns = ["FRoD against", "in", *(f"to {level:g}" for level in LEVELS)]
    return table("Steps and seconds to levels, FRoD over each other method", columns, rows, note=RATIO_NOTE)


def _ratio(whole: Paired, reached: Values, method: str) -> dict[str, Any] | None:
    """The ratio over all pairs, and in how many a run did not get there; None where no run did."""
    pairs = [
        [math.isnan(reached[pair][of][seed]) for of in (SUBJECT, method)]
        for pair, seeds in whole.groups.items()
        for seed in seeds
    ]
    if whole.overall is None or all(map(all, pairs)):
        return None
    late = sum(map(any, pairs))
    return ratio(whole.overall.deciding, f", {late} of {len(pairs)} pairs late" if late else "")


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
