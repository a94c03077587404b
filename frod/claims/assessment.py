"""All claims at once: what claims.json holds."""

from __future__ import annotations

from typing import Any

from frod.claims.claim import plain
from frod.claims.converges_faster import converges_faster
from frod.claims.evidence import CONFIDENCE, Evidence
from frod.claims.full_rank import full_rank
from frod.claims.matches_full_ft import matches_full_ft
from frod.claims.more_robust import more_robust
from frod.claims.same_budget import same_budget

LAYOUT = 1
CLAIMS = (matches_full_ft, same_budget, converges_faster, more_robust, full_rank)


def assess(evidence: Evidence) -> dict[str, Any]:
    """Judge every claim.

    Returns
    -------
    dict
        layout, suite, margin_points, confidence, and claims: a list of dicts with id, title, claim (what the abstract
        says), test (how it is tested), verdict (supported, not_supported or cannot_be_tested), finding (shown,
        contradicted, undecided, or None), reason, figures and tables. JSON can hold it, and the same evidence gives
        the same.
    """
    return plain(
        {
            "layout": LAYOUT,
            "suite": evidence.suite,
            "margin_points": evidence.margin,
            "confidence": CONFIDENCE,
            "claims": [judge(evidence) for judge in CLAIMS],
        }
    )
