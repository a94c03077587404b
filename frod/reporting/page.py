"""The report of a suite: a page that stands on its own, its figures as files, and tables for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

from frod.reporting import figures, files, sections
from frod.reporting.comparison import Comparison, compare, headline
from frod.reporting.curves import by_method, measured, thin
from frod.reporting.naming import Look, RunKey, file_name, looks, method_order, metric_axis, pair_label
from frod.reporting.report import Report
from frod.reporting.svg import Drawing


def build(
    summary: pd.DataFrame,
    histories: Mapping[RunKey, pd.DataFrame],
    records: Mapping[RunKey, Mapping[str, Any]],
    suite: Mapping[str, Any],
    out: Path,
    *,
    manifests: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    tuning: Mapping[tuple[str, str, str], Mapping[str, Any]] | None = None,
    dag: str | None = None,
    results: str = "../../results",
) -> list[Path]:
    """Write index.html, results.csv, metrics.json, curves.csv and figures/*.svg.

    Parameters
    ----------
    summary : DataFrame
        Of `frod.evaluation.summary.summarise`, for one suite.
    histories, records : mapping of RunKey to history.parquet's table and to record.json
        One for every row of the summary; a run without its record cannot be traced and is an error.
    suite : mapping
        name, title, description, cannot_show (list of str), rates_chosen, methods (name to settings, of which `label`
        and `kind` are read), runs (RunKeys, or 4-tuples, that the suite plans; those without a row are called missing),
        protocol, skipped (tasks that were left out because their data are missing). Only name is needed.
    out : Path
        The report's folder; files of other names in it are left alone.
    manifests : mapping of (task, backbone) to manifest.json, optional
        For the splits' row counts and the source of the data.
    tuning : mapping of (task, backbone, method) to rates.json, optional
        How learning rates were chosen, where by trials.
    dag : str, optional
        The workflow's picture, of `frod.reporting.dag.draw`.
    results : str
        Where results/ lies, seen from the page: relative, so that report and results can be moved together.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        For an empty summary, one of several suites or of another suite, and runs without history or record.
    """
    _check(summary, histories, records, suite)
    described = suite.get("methods") or {}
    methods = method_order(sorted(summary["method"].unique()), list(described))
    appearance = looks(methods, described)
    comparisons = compare(summary, methods)
    top = headline(comparisons)
    missing = _missing(summary, suite)
    drawn = _figures(comparisons, histories, appearance)
    if top is not None:
        drawn["difference"] = figures.forest(top, appearance)
    report = Report(
        summary=summary,
        histories=histories,
        records=records,
        suite=suite,
        manifests=manifests or {},
        methods=methods,
        looks=appearance,
        comparisons=comparisons,
        headline=top,
        missing=missing,
        results=results,
        tuning=tuning or {},
    )
    figures_svg = {name: drawing.render() for name, drawing in drawn.items()}
    metrics = files.metrics_json(comparisons, top, runs=len(summary), missing=len(missing))
    written = [
        files.write(out / "index.html", _render(report, figures_svg, dag)),
        files.write(out / "results.csv", files.results_csv(summary)),
        files.write(out / "metrics.json", metrics),
        files.write(out / "curves.csv", files.curves_csv(histories)),
        *(files.write(out / "figures" / f"{name}.svg", svg) for name, svg in figures_svg.items()),
    ]
    for stale in set((out / "figures").glob("*.svg")) - set(written):
        stale.unlink()
    return written


def figure_names(task: str, backbone: str) -> dict[str, str]:
    """Names of the figures of one task, without suffix."""
    return {kind: file_name(kind, task, backbone) for kind in ("seeds", "loss", "validation")}


def _figures(
    comparisons: Sequence[Comparison], histories: Mapping[RunKey, pd.DataFrame], appearance: Mapping[str, Look]
) -> dict[str, Drawing]:
    drawn = {}
    for comparison in comparisons:
        names = figure_names(comparison.task, comparison.backbone)
        where = pair_label(comparison.task, comparison.backbone)
        drawn[names["seeds"]] = figures.dots(comparison, appearance)
        found = by_method(histories, comparison.task, comparison.backbone)
        ordered = {method: found[method] for method in appearance if method in found}
        losses = {method: [thin(history) for history in seeds.values()] for method, seeds in ordered.items()}
        drawn[names["loss"]] = figures.lines(losses, appearance, title=f"Training loss, {where}", axis="training loss")
        # Under the released protocol there is no validation: test is what was looked at.
        split = (
            "test"
            if any(f"test_{comparison.primary}" in history for seeds in ordered.values() for history in seeds.values())
            else "validation"
        )
        column = f"{split}_{comparison.primary}"
        checks = {m: [measured(history, column) for history in seeds.values()] for m, seeds in ordered.items()}
        checks = {
            m: [[(step, 100 * value) for step, value in curve] for curve in curves if curve]
            for m, curves in checks.items()
        }
        if any(checks.values()):
            axis = f"{split} {metric_axis(comparison.primary)}"
            title = f"{split.capitalize()} {comparison.primary} during training, {where}"
            drawn[names["validation"]] = figures.lines(checks, appearance, title=title, axis=axis, log=False)
    return drawn


def _render(report: Report, figures_svg: Mapping[str, str], dag: str | None) -> str:
    from importlib.resources import files as package_files

    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("frod.reporting", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    style = package_files("frod.reporting").joinpath("templates", "page.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(
        **sections.context(report, figure_names),
        # Our own drawings escape what comes from data; everything else is escaped here.
        figures={name: Markup(svg) for name, svg in figures_svg.items()},
        dag=None if dag is None else Markup(dag),
        marker=_marker,
        style=Markup(style + sections.method_style(report.looks)),
    )


def _marker(look: Look) -> Markup:
    """A method's marker for a line of text; its name stands beside it, so it has none of its own."""
    from markupsafe import Markup

    drawing = Drawing(14, 14, "", "")
    drawing.mark(7.0, 7.0, look, size=5)
    return Markup(f'<svg width="14" height="14" viewBox="0 0 14 14" aria-hidden="true">{"".join(drawing.parts)}</svg>')


def _missing(summary: pd.DataFrame, suite: Mapping[str, Any]) -> list[RunKey]:
    present = set(_keys(summary))
    return [key for key in (RunKey(*run) for run in suite.get("runs") or []) if key not in present]


def _keys(summary: pd.DataFrame) -> list[RunKey]:
    columns = (summary[name] for name in RunKey._fields)
    return [RunKey(task, backbone, method, int(seed)) for task, backbone, method, seed in zip(*columns)]


def _check(
    summary: pd.DataFrame, histories: Mapping[RunKey, Any], records: Mapping[RunKey, Any], suite: Mapping[str, Any]
) -> None:
    if summary.empty:
        raise ValueError("summary has no runs; a report needs at least one")
    names = sorted(summary["suite"].unique())
    if names != [suite["name"]]:
        raise ValueError(f"summary is of suite {names}, the report of {suite['name']!r}; give the runs of one suite")
    for what, given in (("history", histories), ("record", records)):
        lacking = [key.path for key in _keys(summary) if key not in given]
        if lacking:
            raise ValueError(f"{lacking} have no {what}; every run of the summary needs one")
