"""FRoD: scaling factors and a sparse rotation of a shared basis are trained, and the head."""

from __future__ import annotations

import frod
from frod.config import Method, Rates


def apply(model, adapter: Method, *, targets, head, basis, seed) -> None:
    """Attach FRoD to the layers that `basis` was extracted from; the targets are the basis's."""
    assert adapter.sparse_rate is not None, "of kind frod"
    frod.attach(
        model,
        basis,
        sparse_rate=adapter.sparse_rate,
        seed=adapter.places_drawn_by(seed),
        plan=adapter.plan or "auto",
        train=head,
        freeze=adapter.freeze,
    )


def groups(model, rates: Rates, head, weight_decay) -> list[dict]:
    """Groups scale and rotation, as far as they train, and head, each with a rate of its own."""
    return frod.parameter_groups(
        model,
        lr_scale=rates.lr_scale,
        lr_rotation=rates.lr_rotation,
        lr_head=rates.lr_head,
        weight_decay=weight_decay,
    )
