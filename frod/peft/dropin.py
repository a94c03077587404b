"""Puts the tuner of `frod.peft.tuner` in the place of peft's own."""

from typing import Any


def tuners() -> tuple[Any, Any]:
    """peft's own class of a FRoD model, and ours; an ImportError where peft is missing or has none."""
    try:
        from peft import FrodModel
    except ImportError as error:
        raise ImportError(
            f"frod.peft needs peft 0.20 or later, with FrodConfig; {_here()}: pip install -U peft"
        ) from error
    from frod.peft.tuner import Tuner

    return FrodModel, Tuner


def _here() -> str:
    try:
        import peft
    except ImportError:
        return "there is none here"
    return f"here is {peft.__version__}"


def register(tuner: Any) -> None:
    """Have peft use this class for `FrodConfig`."""
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    PEFT_TYPE_TO_TUNER_MAPPING[PeftType.FROD] = tuner


def accelerate(model: Any) -> Any:
    """See `frod.peft.accelerate`."""
    plain, tuner = tuners()
    held = getattr(model, "base_model", model)
    if not isinstance(held, plain):
        raise ValueError(
            f"this {type(model).__name__} holds a {type(held).__name__}, not a FRoD adapter of peft's (FrodModel): "
            "give what get_peft_model(model, FrodConfig(...)) returned."
        )
    if not isinstance(held, tuner):
        tuner.take_over(held)
    return model
