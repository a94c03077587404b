"""What each section of the page says: rows of finished text for the templates, which only lay them out."""

from __future__ import annotations

from typing import Any

from frod.evaluation import formatting as show
from frod.evaluation.runs import REFERENCE, SUBJECT
from frod.method.shares import in_words
from frod.reporting import claims_section, cost_section, protocol, reference, results_section, run_section
from frod.reporting.comparison import CONVENTIONS, parameter_counts
from frod.reporting.environment import environment, packages
from frod.reporting.naming import run_page
from frod.reporting.report import Report
from frod.reporting.sentences import NAMED, WITHOUT, how_many, sentences
from frod.reporting.spectra import FLOOR
from frod.reporting.svg import tick_label


def context(report: Report) -> dict[str, Any]:
    """The template's variables."""
    counts = parameter_counts(report.summary, report.methods, report.kinds)
    has_gpu = bool((report.summary["peak_gpu_bytes"].fillna(0) > 0).any())
    return {
        **_head(report),
        "sentences": sentences(report, counts),
        "claims": claims_section.claims(report),
        "budget": claims_section.budget(report),
        "subject": report.looks.get(SUBJECT),
        "reference": report.looks.get(REFERENCE),
        "tasks": results_section.tasks(report),
        "looks": [report.looks[method] for method in report.methods],
        "overview": results_section.overview(report),
        "conventions": list(map(in_words, CONVENTIONS)),
        "share": cost_section.share(counts),
        "counts": cost_section.parameters(report, counts),
        "bases": list(dict.fromkeys(f"{show.count_range(count.base)} on {count.backbone}" for count in counts)),
        "costs": cost_section.time_and_memory(report, gpu=has_gpu),
        "has_gpu": has_gpu,
        "has_spectra": any(len(table) for table in report.spectra.values()),
        "floor": tick_label(FLOOR),
        "budgets": run_section.budgets(report),
        "training": run_section.training(report),
        "rates_chosen": protocol.rates_chosen(report),
        "trials": protocol.trials(report),
        "rates": run_section.methods(report),
        "environment": environment(report),
        "packages": packages(report),
        "runs": results_section.runs(report),
        "hazards": reference.hazards(),
        "published": reference.published(report),
    }


def _head(report: Report) -> dict[str, Any]:
    suite = report.suite
    return {
        "name": suite["name"],
        "title": suite.get("title") or suite["name"],
        "description": suite.get("description") or "",
        "cannot_show": list(suite.get("cannot_show") or []),
        "protocol": protocol.PROTOCOLS[suite.get("protocol", "audited")],
        "skipped": list(suite.get("skipped") or []),
        "missing": [key.path for key in report.missing],
        "undefined": [
            {"path": key.path, "href": f"{run_page(*key[:3])}#seed-{key.seed}", "why": why}
            for key, why in list(report.undefined.items())[:NAMED]
        ],
        "undefined_more": max(0, len(report.undefined) - NAMED),
        "undefined_said": how_many(report),
        "without": WITHOUT,
        "runs_done": len(report.summary),
    }
