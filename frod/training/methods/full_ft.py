"""Full fine-tuning: every parameter is trained. The standard that FRoD claims to match."""

from __future__ import annotations

from frod.training.methods.trained import body_and_head

groups = body_and_head


def apply(model, adapter, *, targets, head, basis, seed) -> None:
    """Train everything."""
    model.requires_grad_(True)
