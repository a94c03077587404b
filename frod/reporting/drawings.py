"""Which figures a report has, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

from frod.evaluation.runs import pair_label, stopped
from frod.reporting import figures, line_figures, pareto
from frod.reporting.comparison import Comparison
from frod.reporting.curves import by_method, measured, thin
from frod.reporting.naming import Look, file_name, metric_axis
from frod.reporting.report import Report
from frod.reporting.spectra import median_spectrum
from frod.reporting.svg import Drawing

KINDS = ("seeds", "pareto", "loss", "validation", "spectrum")
"""Of the figures of one task."""
DIFFERENCE = "difference"
"""Name of the figure over all tasks."""


def names_of(task: str, backbone: str) -> dict[str, str]:
    """Names of the figures of one task by kind, without suffix; not every task has all of them."""
    return {kind: file_name(kind, task, backbone) for kind in KINDS}


def draw(report: Report) -> dict[str, Drawing]:
    """All figures by name."""
    drawn = {}
    if report.headline is not None:
        drawn[DIFFERENCE] = figures.forest(report.headline, report.looks)
    for comparison in report.comparisons:
        names = names_of(comparison.task, comparison.backbone)
        found = by_method(report.histories, comparison.task, comparison.backbone)
        ordered = {method: found[method] for method in report.looks if method in found}
        drawn[names["seeds"]] = figures.dots(comparison, report.looks)
        ended = {r.method: [s for s, why in r.undefined.items() if stopped(why)] for r in comparison.results}
        drawn[names["loss"]] = _loss(comparison, ordered, report.looks, ended)
        further = {
            "validation": _during_training(comparison, ordered, report.looks, ended),
            "pareto": pareto.scatter(comparison, _trained(report, comparison), report.looks),
            "spectrum": _spectrum(report, comparison),
        }
        drawn |= {names[kind]: drawing for kind, drawing in further.items() if drawing is not None}
    return drawn


Histories = Mapping[str, Mapping[int, "pd.DataFrame"]]
Ended = Mapping[str, Sequence[int]]
"""Seeds of each method whose training stopped early."""


def _loss(comparison: Comparison, histories: Histories, looks: Mapping[str, Look], ended: Ended) -> Drawing:
    where = pair_label(comparison.task, comparison.backbone)
    losses = {method: {seed: thin(history) for seed, history in seeds.items()} for method, seeds in histories.items()}
    return line_figures.lines(losses, looks, title=f"Training loss, {where}", axis="training loss", ended=ended)


def _during_training(
    comparison: Comparison, histories: Histories, looks: Mapping[str, Look], ended: Ended
) -> Drawing | None:
    """The metric that was watched while training; None where there was none."""
    every: Sequence[pd.DataFrame] = [history for seeds in histories.values() for history in seeds.values()]
    # Under the released protocol there is no validation: test is what was looked at.
    released = any(f"test_{comparison.primary}" in history for history in every)
    split = "test" if released else "validation"
    column = f"{split}_{comparison.primary}"
    checks = {
        method: {
            seed: [(step, 100 * value) for step, value in curve]
            for seed, history in seeds.items()
            if (curve := measured(history, column))
        }
        for method, seeds in histories.items()
    }
    if not any(checks.values()):
        return None
    title = f"{split.capitalize()} {comparison.primary} during training, {pair_label(*_pair(comparison))}"
    axis = f"{split} {metric_axis(comparison.primary)}"
    return line_figures.lines(checks, looks, title=title, axis=axis, log=False, ended=ended)


def _trained(report: Report, comparison: Comparison) -> dict[str, int]:
    runs = report.by_task[_pair(comparison)].drop_duplicates("method")
    return dict(zip(runs["method"], runs["trainable_parameters"].astype(int)))


def _spectrum(report: Report, comparison: Comparison) -> Drawing | None:
    curves = {
        method: median_spectrum(report.spectra[*_pair(comparison), method])
        for method in report.methods
        if (*_pair(comparison), method) in report.spectra
    }
    curves = {method: curve for method, curve in curves.items() if curve}
    title = f"Spectrum of W' - W, {pair_label(*_pair(comparison))}"
    return line_figures.spectrum(curves, report.looks, title=title) if curves else None


def _pair(comparison: Comparison) -> tuple[str, str]:
    return comparison.task, comparison.backbone
