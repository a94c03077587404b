"""Ways of fine-tuning: full_ft, linear_probe, frod, and any method of peft by its configuration class.

Each module has `apply(model, adapter, *, targets, head, basis, seed)`, which marks in place what is trained, and
`groups(model, rates, head, weight_decay)`, the optimiser's parameter groups, each with a name and a rate.
"""

from __future__ import annotations

from types import ModuleType


def of_kind(kind: str) -> ModuleType:
    """Return the module of a kind of method (config.Method.kind)."""
    from frod.training.methods import frod, full_ft, linear_probe, peft

    return {"frod": frod, "full_ft": full_ft, "linear_probe": linear_probe, "peft": peft}[kind]
