"""All claims at once: what claims.json holds."""

from __future__ import annotations

from typing import Any

from frod.claims.ablation import ablation
from frod.claims.budget import same_budget
from frod.claims.chance import uninformative
from frod.claims.claim import plain, untestable
from frod.claims.converges_faster import converges_faster
from frod.claims.evidence import CONFIDENCE, Evidence
from frod.claims.full_rank import full_rank
from frod.claims.matches_full_ft import matches_full_ft
from frod.claims.more_robust import more_robust
from frod.claims.sharpness import sharpness
from frod.provenance.run_keys import pair_label

LAYOUT = 2
CLAIMS = (matches_full_ft, converges_faster, more_robust, full_rank)
BESIDE = (ablation, sharpness)


def assess(evidence: Evidence) -> dict[str, Any]:
    """Judge every claim; none can be tested where compared runs had not the same budget.

    Returns
    -------
    dict
        layout, suite, margin_points, confidence, budget (of `same_budget`), uninformative (tasks on which full
        fine-tuning is not above chance: task, backbone, why), and claims: a list of dicts with id, title,
        claim (what the abstract says), test (how it is tested), verdict (supported, not_supported or cannot_be_tested),
        finding (shown, contradicted, undecided, or None), reason, figures and tables; and beside, what is measured and
        not judged: sections with id, title, text, forests (differences by method, to draw) and tables. JSON can hold
        it, and the same evidence gives the same.
    """
    budget = same_budget(evidence)
    found = [judge(evidence) for judge in CLAIMS]
    if not budget["same"]:
        unlike = untestable(f"Compared runs are not known to have had the same budget. {budget['reason']}")._asdict()
        found = [claim | unlike for claim in found]
    by_chance = uninformative(evidence)
    said = "".join(
        f" On {pair_label(*pair)}, which counts here, full fine-tuning is not above chance ({why})."
        for pair, why in by_chance.items()
    )
    found = [claim | {"reason": claim["reason"] + said} for claim in found]
    return plain(
        {
            "layout": LAYOUT,
            "suite": evidence.suite,
            "margin_points": evidence.margin,
            "confidence": CONFIDENCE,
            "budget": budget,
            "uninformative": [{"task": t, "backbone": b, "why": why} for (t, b), why in by_chance.items()],
            "claims": found,
            "beside": [section for measure in BESIDE if (section := measure(evidence)) is not None],
        }
    )
