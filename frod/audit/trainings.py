"""What runs and trials have in common: each training's predictions, history, end and cost, held against each other.

Of another seed, other rates or another method no training has the same losses, or the same predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from frod.audit import costs, divergence, environments, predictions, texts
from frod.audit.counts import trained_of
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.audit.traces import Traces
from frod.config import Run

if TYPE_CHECKING:
    import pyarrow as pa


def check(study: Study, left: Traces, again: Mapping[str, Any] | str, findings: Findings) -> None:
    """Look at all that a training left; `again`: its metrics, computed from its predictions, or why they cannot be."""
    predictions.check_predictions(study, left, findings)
    environments.check(study, left, findings)
    texts.check_record(left, findings)
    if not left.history.is_file():  # named as missing
        return
    with findings.guard(left.history, "its steps"):
        table = left.read_history()
        remember(study, left, table)
        predictions.check_history(study, left, table, again, findings)
        divergence.check(study, left, table, findings)
        costs.check(study, left, table, findings)


def remember(study: Study, left: Traces, table: pa.Table) -> None:
    """Keep what tells a training from all others of its task; the first loss alone, before any update, need not."""
    if left.undefined is not None or len(table) < 2:
        return
    losses = hashlib.sha256(table["loss"].to_numpy().tobytes()).hexdigest()
    told = {"losses": losses, "predictions": study.digests.sha256(left.predictions)}
    for what, digest in told.items():
        study.seen.setdefault((left.run.task, left.run.backbone, what, digest), []).append(left)


def check_copies(study: Study, findings: Findings) -> None:
    """Name trainings that differ in seed, rates or method and have the very losses or predictions of another."""
    for (_, _, what, digest), alike in study.seen.items():
        first, *others = alike
        for other in others if digest else ():
            if _made_of(study, other) != _made_of(study, first):
                path = other.history if what == "losses" else other.predictions
                findings.add(path, f"{what}: to the bit those of {first.path}", remedy="run both again")


def _made_of(study: Study, left: Traces) -> tuple[Any, ...]:
    """What decides how a training goes, within its task."""
    return _method(study, left.run), left.run.seed, left.rates, left.run.training.model_dump()


def _method(study: Study, run: Run) -> dict[str, Any]:
    """A method by what has an effect: two that are written in other words may train to the same bit."""
    method = run.adapter.model_dump(exclude={"label", "plan", "match_parameters", "size_argument"})
    if run.adapter.kind == "frod":
        method |= {"basis": study.workflow.extraction(run), "freeze": run.adapter.groups}
        if "rotation" not in run.adapter.groups:  # S is zero, wherever its places are
            method |= {"sparse_rate": None, "pattern_seed": None}
    if (matched := trained_of(study, run).matched if run.matched else None) is not None:
        method["arguments"] |= {matched["argument"]: matched["value"]}
    return method
