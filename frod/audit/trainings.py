"""What runs and trials have in common: each training's predictions, history, end and cost, held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frod.audit import copies, costs, divergence, environments, predictions, texts
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.audit.traces import Traces


def check(study: Study, left: Traces, again: Mapping[str, Any] | str, findings: Findings) -> None:
    """Look at all that a training left; `again`: its metrics, computed from its predictions, or why they cannot be."""
    predictions.check_predictions(study, left, findings)
    environments.check(study, left, findings)
    texts.check_record(left, findings)
    if not left.history.is_file():  # named as missing
        return
    with findings.guard(left.history, "its steps"):
        table = left.read_history()
        copies.remember(study, left, table)
        predictions.check_history(study, left, table, again, findings)
        divergence.check(study, left, table, findings)
        costs.check(study, left, table, findings)
