"""What runs and trials have in common: each training's predictions, history, end and cost, held against each other.

Of another seed, other rates or another method no training has the same losses, or the same predictions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from frod.audit import costs, divergence, environments, predictions, texts
from frod.audit.findings import Findings
from frod.audit.study import Study
from frod.audit.traces import Traces

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
            if _made_of(other) != _made_of(first):
                path = other.history if what == "losses" else other.predictions
                findings.add(path, f"{what}: to the bit those of {first.path}", remedy="run both again")


def _made_of(left: Traces) -> tuple[Any, ...]:
    """What decides how a training goes, within its task."""
    run = left.run
    return run.adapter.model_dump(exclude={"label"}), run.seed, left.rates, run.training.model_dump()
