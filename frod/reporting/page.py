"""The report of a suite: a page that stands on its own, a page for the runs of each method, figures and tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

from frod import files
from frod.evaluation.runs import RunKey
from frod.reporting import drawings, latex, markdown, rendering, run_pages, sections, tables
from frod.reporting.comparison import compare, headline
from frod.reporting.naming import looks, method_order
from frod.reporting.report import Report


def build(
    summary: pd.DataFrame,
    histories: Mapping[RunKey, pd.DataFrame],
    records: Mapping[RunKey, Mapping[str, Any]],
    suite: Mapping[str, Any],
    out: Path,
    *,
    claims: Mapping[str, Any],
    manifests: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
    tuning: Mapping[tuple[str, str, str], Mapping[str, Any]] | None = None,
    spectra: Mapping[tuple[str, str, str], pd.DataFrame] | None = None,
    dag: str | None = None,
    results: str = "../../results",
) -> list[Path]:
    """Write index.html, runs/TASK/BACKBONE/METHOD.html, results.csv and .tex, summary.md, *.json, figures/*.svg.

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
    claims : mapping
        Of `frod.claims.assess`: the claims with their verdicts.
    manifests : mapping of (task, backbone) to manifest.json, optional
        For the splits' row counts and the source of the data.
    tuning : mapping of (task, backbone, method) to rates.json, optional
        How learning rates were chosen, where by trials.
    spectra : mapping of (task, backbone, method) to spectrum.parquet's table, optional
        Singular values of what a training changed.
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
    comparisons = compare(summary, methods)
    report = Report(
        summary=summary,
        histories=histories,
        records=records,
        suite=suite,
        manifests=manifests or {},
        methods=methods,
        looks=looks(methods, described),
        comparisons=comparisons,
        headline=headline(comparisons),
        missing=_missing(summary, suite),
        results=results,
        tuning=tuning or {},
        claims=claims,
        spectra=spectra or {},
    )
    contents = _contents(report, dag)
    written = [out / name for name in contents]
    for path, text in zip(written, contents.values()):
        files.write_text(path, text)
    for stale in {*(out / "figures").glob("*.svg"), *(out / "runs").rglob("*.html")} - set(written):
        stale.unlink()
    return written


def _contents(report: Report, dag: str | None) -> dict[str, str]:
    """All files by their name below the report's folder."""
    from markupsafe import Markup

    svg = {name: drawing.render() for name, drawing in drawings.draw(report).items()}
    templates = rendering.templates()
    index = rendering.render(
        templates,
        "index.html.j2",
        report.looks,
        **sections.context(report),
        figures={name: Markup(text) for name, text in svg.items()},
        dag=None if dag is None else Markup(dag),
    )
    counts = {"runs": len(report.summary), "missing": len(report.missing), "undefined": len(report.undefined)}
    return {
        "index.html": index,
        "results.csv": tables.results_csv(report.summary),
        "results.tex": latex.results_tex(report),
        "summary.md": markdown.summary_md(report),
        "claims.json": tables.claims_json(report.claims),
        "metrics.json": tables.metrics_json(report.comparisons, report.headline, report.claims, **counts),
        "runs.json": tables.runs_json(report.records),
        "curves.csv": tables.curves_csv(report.histories),
        **{f"figures/{name}.svg": text for name, text in svg.items()},
        **run_pages.pages(report, templates),
    }


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
