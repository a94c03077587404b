"""The report of a suite: a page that stands on its own, a page for the runs of each method, figures and tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frod import files
from frod.evaluation import formatting as show
from frod.method.shares import in_words
from frod.provenance.run_keys import REFERENCE, SUBJECT
from frod.reporting import (
    claims_section,
    cost_section,
    data_files,
    figures,
    reference,
    results_section,
    run_pages,
    run_section,
    text_tables,
    tuning_section,
)
from frod.reporting.comparison import CONVENTIONS, parameter_counts
from frod.reporting.figures.axes import tick_label
from frod.reporting.figures.lines import CROWD
from frod.reporting.figures.singular_values import FLOOR
from frod.reporting.naming import run_page
from frod.reporting.opening import NAMED, WITHOUT, how_many, sentences
from frod.reporting.rendering import render
from frod.reporting.report_data import Report


def write(texts: Mapping[str, str], out: Path) -> None:
    """Write a report's files, and remove figures and pages of runs that it no longer has.

    Parameters
    ----------
    texts : mapping
        As `contents` gives them.
    out : Path
        The report's folder; files of other names in it are left alone.
    """
    for name, text in texts.items():
        files.write_text(out / name, text)
    for stale in {*(out / "figures").glob("*.svg"), *(out / "runs").rglob("*.html")} - {out / name for name in texts}:
        stale.unlink()


def contents(report: Report) -> dict[str, str]:
    """Texts by file: index.html, runs/TASK/BACKBONE/METHOD.html, results.csv, .tex, summary.md, *.json, figures/*.svg.

    A name is relative to the report's folder, with slashes.
    """
    from markupsafe import Markup

    svg = {name: drawing.render() for name, drawing in figures.draw(report).items()}
    drawn = {
        "figures": {name: Markup(text) for name, text in svg.items()},
        "has_spectra": any(name.startswith("spectrum") for name in svg),
    }
    return {
        "index.html": render("index.html.j2", report.looks, **drawn, **_head(report), **_sections(report)),
        "results.csv": report.summary.to_csv(index=False, lineterminator="\n"),
        "results.tex": text_tables.results_tex(report),
        "summary.md": text_tables.summary_md(report),
        "claims.json": json.dumps(report.claims, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "metrics.json": data_files.metrics_json(report),
        "runs.json": data_files.runs_json(report.records),
        "curves.csv": data_files.curves_csv(report.histories),
        **{f"figures/{name}.svg": text for name, text in svg.items()},
        **run_pages.pages(report),
    }


def _head(report: Report) -> dict[str, Any]:
    return {
        "report": report,
        "cannot_show": report.suite.get("cannot_show"),
        "protocol": run_section.PROTOCOLS[report.suite.get("protocol", "audited")],
        "missing": report.missing,
        "undefined": [
            {"path": key.path, "href": f"{run_page(*key[:3])}#seed-{key.seed}", "why": why}
            for key, why in list(report.undefined.items())[:NAMED]
        ],
        "undefined_more": max(0, len(report.undefined) - NAMED),
        "undefined_said": how_many(report),
        "without": WITHOUT,
    }


def _sections(report: Report) -> dict[str, Any]:
    """What each section says: rows of finished text for the templates, which only lay them out."""
    counts = parameter_counts(report.summary, report.methods, report.kinds)
    has_gpu = bool((report.summary["peak_gpu_bytes"].fillna(0) > 0).any())
    return {
        "sentences": sentences(report, counts),
        "claims": claims_section.claims(report),
        "budget": claims_section.budget(report),
        "beside": claims_section.beside(report),
        "margin": f"{report.claims['margin_points']:g}",
        "differences": results_section.differences(report),
        "subject": report.looks.get(SUBJECT),
        "reference": report.looks.get(REFERENCE),
        "tasks": [results_section.task(report, comparison) for comparison in report.comparisons],
        "looks": [report.looks[method] for method in report.methods],
        "overview": results_section.overview(report),
        "conventions": list(map(in_words, CONVENTIONS)),
        "share": cost_section.share(counts),
        "counts": cost_section.parameters(report, counts),
        "bases": list(dict.fromkeys(f"{show.count_range(count.base)} on {count.backbone}" for count in counts)),
        "costs": cost_section.time_and_memory(report, gpu=has_gpu),
        "has_gpu": has_gpu,
        "crowd": CROWD,
        "floor": tick_label(FLOOR),
        "budgets": run_section.budgets(report),
        "training": run_section.training(report),
        "rates_chosen": tuning_section.rates_chosen(report),
        "trials": tuning_section.trials(report),
        "search": tuning_section.search(report),
        "rates": run_section.methods(report),
        "environment": run_section.environment(report),
        "packages": run_section.packages(report),
        "since": run_section.since(report),
        "runs": results_section.runs(report),
        "known_issues": reference.known_issues(),
        "published": reference.published(report),
    }
