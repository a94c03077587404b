"""The figures of a report: a kind a file, what they share in `axes`."""

from __future__ import annotations

from frod.provenance.run_keys import pair_label, stopped
from frod.reporting import tuning_section
from frod.reporting.comparison import Comparison
from frod.reporting.figures import difference, forest, lines, pareto, seed_markers, singular_values
from frod.reporting.figures.axes import Drawing
from frod.reporting.naming import FIGURES, file_name, metric_axis
from frod.reporting.report_data import Report
from frod.reporting.thinned_curves import by_method, measured, thin


def names_of(task: str, backbone: str) -> dict[str, str]:
    """Names of the figures of one task by kind, without suffix; not every task has all of them."""
    return {kind: file_name(kind, task, backbone) for kind in FIGURES}


def draw(report: Report) -> dict[str, Drawing]:
    """All figures by name."""
    drawn: dict[str, Drawing | None] = {}
    if report.headline is not None:
        drawn["difference"] = difference.draw(
            report.headline, report.looks, report.claims["margin_points"], report.uninformative
        )
    if expected := tuning_section.best_of_n(report):
        drawn["best_of"] = lines.draw(
            {method: {0: curve} for method, curve in expected.items()},
            report.looks,
            title="Validation that the best of n trials is expected to have, mean over tasks",
            axis="validation, points",
            over="trials",
            first=1,
            log=False,
        )
    for section in report.claims["beside"]:
        for name, of in forest.names(section).items():
            drawn[name] = forest.draw(of, report.looks)
    for comparison in report.comparisons:
        names = names_of(comparison.task, comparison.backbone)
        runs = report.by_task[comparison.task, comparison.backbone].drop_duplicates("method")
        trained = dict(zip(runs["method"], runs["trainable_parameters"].astype(int)))
        drawn |= {
            names["seeds"]: seed_markers.draw(comparison, report.looks),
            names["pareto"]: pareto.draw(comparison, trained, report.looks),
            **_over_steps(report, comparison, names),
            names["spectrum"]: _spectrum(report, comparison),
        }
    return {name: drawing for name, drawing in drawn.items() if drawing is not None}


def _over_steps(report: Report, comparison: Comparison, names: dict[str, str]) -> dict[str, Drawing]:
    """The loss, and the metric that was watched while training, where one was."""
    where = pair_label(comparison.task, comparison.backbone)
    found = by_method(report.histories, comparison.task, comparison.backbone)
    histories = {method: found[method] for method in report.looks if method in found}
    ended = {r.method: [s for s, why in r.undefined.items() if stopped(why)] for r in comparison.results}
    losses = {method: {seed: thin(history) for seed, history in runs.items()} for method, runs in histories.items()}
    title = f"Training loss, {where}"
    drawn = {names["loss"]: lines.draw(losses, report.looks, title=title, axis="training loss", ended=ended)}
    # Under the released protocol there is no validation: test is what was looked at.
    released = any(f"test_{comparison.primary}" in h for runs in histories.values() for h in runs.values())
    split = "test" if released else "validation"
    checks = {
        method: {
            seed: [(step, 100 * value) for step, value in curve]
            for seed, history in runs.items()
            if (curve := measured(history, f"{split}_{comparison.primary}"))
        }
        for method, runs in histories.items()
    }
    if any(checks.values()):
        title = f"{split.capitalize()} {comparison.primary} during training, {where}"
        axis = f"{split} {metric_axis(comparison.primary)}"
        drawn[names["validation"]] = lines.draw(checks, report.looks, title=title, axis=axis, log=False, ended=ended)
    return drawn


def _spectrum(report: Report, comparison: Comparison) -> Drawing | None:
    pair = (comparison.task, comparison.backbone)
    there = [method for method in report.methods if (*pair, method) in report.spectra]
    found = {method: singular_values.median_spectrum(report.spectra[*pair, method]) for method in there}
    curves = {method: curve for method, curve in found.items() if curve}
    title = f"Spectrum of W' - W, {pair_label(*pair)}"
    return singular_values.draw(curves, report.looks, title=title) if curves else None
