"""Linear probe: only the head is trained. Shows what the frozen model's features give by themselves."""

from __future__ import annotations

from frod.training.methods.trained import body_and_head, train_only_head


def apply(model, adapter, *, targets, head, basis, seed) -> None:
    """Freeze all but the head."""
    train_only_head(model, head)


def groups(model, rates, head, weight_decay) -> list[dict]:
    """One group: the head."""
    return body_and_head(model, None, rates.lr_head, head, weight_decay)
