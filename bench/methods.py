"""The methods that are compared: what each does to a freshly built model before it can be trained."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    import frod
    from bench.models import Classifier

LABELS = {
    "full_ft": "full fine-tuning",
    "frod": "FRoD",
    "frod_materialised": "FRoD, materialised",
    "frod_factored": "FRoD, factored",
    "frod_input_side": "FRoD, input-side",
    "lora": "LoRA r=8 (peft)",
    "vera": "VeRA r=256 (peft)",
    "peft_frod": "FRoD of peft",
    "peft_dropin": "FRoD in peft",
}


def _nothing(model: Classifier, targets: tuple[str, ...], rate: float, basis: frod.Basis | None = None) -> None:
    """Train every parameter."""


def _frod(plan: str) -> Callable[..., None]:
    def set_up(model: Classifier, targets: tuple[str, ...], rate: float, basis: frod.Basis | None = None) -> None:
        import frod

        basis = extract(model, targets) if basis is None else basis
        frod.attach(model, basis, sparse_rate=rate, plan=plan, train=["head"])

    return set_up


def _peft(name: str, **settings: Any) -> Callable[..., None]:
    def set_up(model: Classifier, targets: tuple[str, ...], rate: float, basis: frod.Basis | None = None) -> None:
        import peft

        sparse = {"sparse_rate": rate} if name == "FrodConfig" else {}
        config = getattr(peft, name)(target_modules=list(targets), **settings, **sparse)
        # Only the encoder is wrapped: the head then trains in full, as with the other methods.
        model.encoder = peft.get_peft_model(model.encoder, config)

    return set_up


def _dropin(model: Classifier, targets: tuple[str, ...], rate: float, basis: frod.Basis | None = None) -> None:
    """FRoD of peft with this package's arithmetic, its basis from the cache or put into it."""
    import frod.peft

    frod.peft.enable()
    try:
        METHODS["peft_frod"](model, targets, rate)
    finally:
        frod.peft.disable()


METHODS: dict[str, Callable[..., None]] = {
    "full_ft": _nothing,
    "frod": _frod("auto"),
    "frod_materialised": _frod("materialised"),
    "frod_factored": _frod("factored"),
    "frod_input_side": _frod("input_side"),
    "lora": _peft("LoraConfig", r=8),
    "vera": _peft("VeraConfig", r=256),  # peft's default; its two matrices are cut to size for each shape of layer
    "peft_frod": _peft("FrodConfig", progressbar=False),
    "peft_dropin": _dropin,
}
"""Each prepares a model for training, in place, given the suffixes of the names of the layers to adapt, the sparse rate
of FRoD, ours and peft's, and optionally the basis; by default FRoD extracts its own."""


def extract(model: Classifier, targets: tuple[str, ...], dtype: torch.dtype | None = None) -> frod.Basis:
    """FRoD's basis of a model, in the default working precision or another."""
    import frod

    precision = {} if dtype is None else {"dtype": dtype}
    return frod.extract_basis(model, targets, progress=False, **precision)


def needs_basis(method: str) -> bool:
    """Whether the method is FRoD of this package, in any plan."""
    return method == "frod" or method.startswith("frod_")


def trained(model: torch.nn.Module) -> int:
    """Number of parameters that train, the head's included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
