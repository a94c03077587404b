"""What the verdicts on the paper's claims are called, on the page and in the summary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frod.reporting.report_data import Report

_WORDS = {
    "supported": "supported here",
    "not_supported": "not supported here",
    "cannot_be_tested": "cannot be tested here",
}


def same_budget(report: Report) -> str:
    """Whether the precondition of every verdict held, and where it did not."""
    found = report.claims["budget"]
    held = "held" if found["same"] else "did not hold, so that no claim is tested"
    return f"The precondition, that compared runs had the same budget, {held}. {found['reason']}"


def in_words(claim: Mapping[str, Any]) -> str:
    """A verdict, with the kind of what is not supported: contradicted, or undecided."""
    said = _WORDS[claim["verdict"]]
    return f"{said} ({claim['finding']})" if claim["verdict"] == "not_supported" and claim.get("finding") else said
