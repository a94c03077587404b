"""Adapters to and from the Hugging Face library peft, and FRoD as a drop-in for peft's own.

After `enable()` every FRoD adapter that peft makes or loads is computed here; `accelerate(model)` takes over those of
one model. peft's interface, its files and the names and shapes in them stay as they are.
"""

from typing import Any


def enable() -> None:
    """Have peft compute every `FrodConfig` adapter made or loaded from here on in this process with this package."""
    from frod.peft import dropin

    dropin.register(dropin.tuners()[1])


def disable() -> None:
    """Give `FrodConfig` back to peft's own tuner; adapters made meanwhile stay as they are."""
    from frod.peft import dropin

    dropin.register(dropin.tuners()[0])


def accelerate(model: Any) -> Any:
    """Have this package compute the FRoD adapters that a `PeftModel` of peft's own holds, in place; also returns it.

    Parameters, their names and the optimiser over them stay as they are, outputs up to rounding.
    """
    from frod.peft import dropin

    return dropin.accelerate(model)
