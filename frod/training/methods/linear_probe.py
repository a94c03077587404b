"""Linear probe: only the head is trained. Shows what the frozen model's features give by themselves."""

from __future__ import annotations

from frod.training.methods.trained import body_and_head, train_only_head

groups = body_and_head  # its body is empty


def apply(model, adapter, *, targets, head, basis, seed) -> None:
    """Freeze all but the head."""
    train_only_head(model, head)
