"""Beside the verdicts: how sharp the loss is around the weights that each method's trainings left."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from frod.claims.claim import cell, difference, table
from frod.claims.evidence import CONFIDENCE, Evidence, Pair, Values, run, values_of
from frod.claims.pairing import paired
from frod.evaluation.formatting import fixed, number, significant
from frod.evaluation.statistics import mean_interval
from frod.provenance.run_keys import REFERENCE, SUBJECT, RunKey, pair_label

TEXT = (
    "Sharpness is how much the loss rises when all target layers are perturbed at random, by 5\u00a0% of the size of "
    "the pretrained weight of each (Frobenius norm): in per cent of the loss in place, on at most 256 examples of "
    "validation, as the mean over three directions, each taken both ways. The perturbation is added to the weight that "
    "a layer multiplies by, and is the same for every method of a seed. A flat loss is often held to go with a model "
    "that generalises well; nothing here tests that."
)
NOTE = (
    "Means over seeds with their 95\u00a0% t interval; differences are paired by seed. Less is flatter. A small loss "
    "in place makes the same rise a larger share, so that the loss stands beside it. A run that diverged has none. "
    "Over tasks the interval is that of their means; where some have no pair, it says of how many."
)

DIGITS = 3


@dataclass(frozen=True)
class Measured:
    """One run."""

    loss: float
    """In place."""
    rise: float
    """Under perturbation, in per cent; nan where the loss in place is zero, or one is not finite."""


def sharpness(evidence: Evidence) -> dict[str, Any] | None:
    """The section on sharpness, as claims.json holds it; None where no run has one."""
    measured = _measured(evidence)
    found = values_of((key, of.rise) for key, of in measured.items())
    rows = [row for pair in found for row in _rows(evidence, measured, found, pair)]
    if not rows:
        return None
    rows += _over_tasks(evidence, found) if len(found) > 1 else []
    against = [evidence.label(method) for method in _against(evidence)]
    columns = ["task", "method", "loss in place", "rise, %", *(f"less that of {label}" for label in against)]
    return {
        "id": "sharpness",
        "title": "Sharpness of the loss",
        "text": TEXT,
        "forests": [],
        "tables": [table("Rise of the loss under perturbation", columns, rows, note=NOTE)],
    }


def rises(evidence: Evidence) -> Values:
    """Sharpness of each run, in per cent."""
    return values_of((key, of.rise) for key, of in _measured(evidence).items())


def _measured(evidence: Evidence) -> dict[RunKey, Measured]:
    found = {}
    for folder, every in sorted(evidence.sharpness.items(), key=lambda item: item[0]):
        for seed, of in every.groupby("seed"):
            place, around = (fmean(of.loc[chosen, "loss"]) for chosen in (of["step"] == 0, of["step"] != 0))
            rise = 100 * (around / place - 1) if place > 0 else math.nan
            found[RunKey(*folder, int(str(seed)))] = Measured(place, rise)
    return found


def _against(evidence: Evidence) -> list[str]:
    """What each method is set against."""
    return [method for method in (REFERENCE, SUBJECT) if method in evidence.methods]


def _rows(evidence: Evidence, measured: Mapping[RunKey, Measured], found: Values, pair: Pair) -> list[list[Any]]:
    rows = []
    for method in (method for method in evidence.methods if method in found[pair]):
        where = run(pair, method)
        loss = fmean(measured[RunKey(*pair, method, seed)].loss for seed in found[pair][method])
        cells = [cell(loss, text=significant(loss), run=where), None]
        if of := {seed: value for seed, value in found[pair][method].items() if not math.isnan(value)}:
            own = mean_interval(of, confidence=CONFIDENCE)
            ends = f" [{fixed(own.low, DIGITS)}, {fixed(own.high, DIGITS)}]" if own.has_interval else ""
            cells[1] = cell(own.mean, low=own.low, high=own.high, text=fixed(own.mean, DIGITS) + ends, run=where)
        rows.append([pair_label(*pair), evidence.label(method), *cells, *_differences(evidence, found, method, pair)])
    return rows


def _over_tasks(evidence: Evidence, found: Values) -> list[list[Any]]:
    rows = []
    for method in evidence.methods:
        compared = _differences(evidence, found, method)
        if any(compared):
            rows.append([f"mean over {number(len(found), 'task')}", evidence.label(method), None, None, *compared])
    return rows


def _differences(evidence: Evidence, found: Values, method: str, pair: Pair | None = None) -> list[Any]:
    """A method's sharpness less that of each it is set against: on a task, or over all of them."""
    cells = []
    for other in _against(evidence):
        values = found if pair is None else {pair: found[pair]}
        of = paired(values, method, other).overall if method != other else None
        shown = difference(of.deciding, DIGITS, run=run(pair, method) if pair else None) if of else None
        if of and shown and len(of.groups) < len(values):
            shown["text"] += f", {number(len(of.groups), 'task')}"
        cells.append(shown)
    return cells
