"""Layers whose weights are kept in 4 or 8 bits: those of bitsandbytes, told by name so that it need not be installed.

What trains over them changes the input (`strategies.changed_input`), and the layer is called as it is. Only the basis
needs the weight in full, and it takes the one that the layer multiplies with.

Shapes: m out_features, n in_features.
"""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

FOUR, EIGHT = "Linear4bit", "Linear8bitLt"


def _kind(layer: object) -> str | None:
    """Which of the two the layer is, or inherits from."""
    for base in type(layer).__mro__:
        if base.__name__ in (FOUR, EIGHT) and base.__module__.startswith("bitsandbytes."):
            return base.__name__
    return None


def is_quantised(layer: object) -> bool:
    """Whether the layer is one of bitsandbytes' ``Linear4bit`` and ``Linear8bitLt``, or inherits from them."""
    return _kind(layer) is not None


def dequantised(layer: nn.Module) -> Tensor:
    """The weight W (m, n) that the layer multiplies with, in float32; a new tensor. ValueError as in `check`."""
    check(layer)
    weight = cast(Any, layer.weight)
    if _kind(layer) == EIGHT:
        # The factors and their order are bitsandbytes' own, so that this is its weight to the bit.
        return cast(Tensor, weight.data.float().mul_(_row_scales(layer)[:, None].mul(1 / 127)))
    from bitsandbytes.functional import dequantize_4bit

    # The layer computes in the dtype of its input; the dtype of the weight before it was quantised would round W.
    exact = copy.copy(_state(layer))
    exact.dtype = torch.float32
    return cast(Tensor, dequantize_4bit(weight.data.view(-1, 1), exact))


def stored(layer: nn.Module) -> list[tuple[str, Tensor]]:
    """What W follows from, by name: packed numbers, scales and code table; the same before and after a forward."""
    check(layer)
    numbers = cast(Any, layer.weight).data
    if _kind(layer) == EIGHT:
        return [("int8", numbers), ("scales", _row_scales(layer))]
    state = _state(layer)
    parts = [(f"{state.quant_type} in blocks of {state.blocksize}", numbers), ("scales", state.absmax)]
    parts.append(("code", state.code))
    if state.nested:
        nested = state.state2
        parts += [(f"scales of scales in blocks of {nested.blocksize}", nested.absmax), ("code of scales", nested.code)]
        parts.append(("offset of scales", state.offset.view(1)))
    return parts


def check(layer: nn.Module, name: str = "") -> None:
    """Refuse a quantised layer whose numbers are not there yet, or are no longer those it was loaded with."""
    reason = _error_of_8(layer) if _kind(layer) == EIGHT else _error_of_4(layer)
    if reason:
        kind = type(layer).__name__
        raise ValueError(f"layer {name!r} ({kind}) {reason}" if name else f"a {kind} {reason}")


def _error_of_8(layer: nn.Module) -> str | None:
    if cast(Any, layer.state).has_fp16_weights:
        return (
            "has has_fp16_weights=True: it keeps its weight in full and quantises it in every step. Make it with "
            "has_fp16_weights=False, or take an nn.Linear."
        )
    if cast(Tensor, layer.weight).dtype != torch.int8:
        return _NOT_YET
    if _scales_or_none(layer) is None:
        return (
            "has lost its scales: bitsandbytes moves them with the layer only before its first forward. "
            "Load the model again, onto the device it is to stay on."
        )
    return None


def _error_of_4(layer: nn.Module) -> str | None:
    state = _state(layer)
    if state is None:
        return _NOT_YET
    if getattr(state, "packing_format_for_cpu", False):
        return (
            "was repacked for inference on this CPU by a forward in evaluation, which rounded its scales and "
            "lets no gradient through. Load the model again, and attach before the first forward, or set "
            "support_avx512bf16_for_cpu = False on its quantised layers first."
        )
    if tuple(state.shape) != (layer.out_features, layer.in_features):
        return (
            f"has out_features={layer.out_features}, in_features={layer.in_features}, and a weight that was "
            f"quantised as {tuple(state.shape)}. Quantise it as (out_features, in_features)."
        )
    return None


_NOT_YET = (
    "is not quantised yet: bitsandbytes does that when a layer is moved to a device for the first time. Move "
    "the model first: model.to('cuda'), or model.to('cpu')."
)


def prepare(model: nn.Module) -> None:
    """Check all quantised layers of a model, adapted or not, and have them stay fit for training.

    On CPUs with AVX512-BF16, `Linear4bit` would repack its weight at the first forward in evaluation: for good, with
    its scales rounded, and with no gradient through it any more. That is switched off, if `check` refuses no layer.
    """
    layers = {name: module for name, module in model.named_modules() if is_quantised(module)}
    for name, layer in layers.items():
        check(layer, name)
    for layer in layers.values():
        if _kind(layer) == FOUR:
            cast(Any, layer).support_avx512bf16_for_cpu = False


def follow(layer: nn.Module) -> None:
    """After a model was moved: put an 8-bit layer's scales where its weight is.

    bitsandbytes does so only if `to` is called on the layer itself and before its first forward (its issue 1332).
    """
    if _kind(layer) != EIGHT:
        return
    weight = cast(Any, layer.weight)
    for holder in (weight, cast(Any, layer.state)):
        if holder.CB is not None:
            holder.CB = weight.data
        if holder.SCB is not None:
            holder.SCB = holder.SCB.to(weight.device)


def _state(layer: nn.Module) -> Any:
    """The quantisation state of a 4-bit layer; wrappers that rebuild parameters leave it on the layer only."""
    state = getattr(layer.weight, "quant_state", None)
    return state if state is not None else getattr(layer, "quant_state", None)


def _row_scales(layer: nn.Module) -> Tensor:
    """Largest absolute value of each row (m,) of an 8-bit layer."""
    scales = _scales_or_none(layer)
    assert scales is not None
    return scales


def _scales_or_none(layer: nn.Module) -> Tensor | None:
    # The first forward takes them from the weight to the layer's state.
    scales = getattr(layer.weight, "SCB", None)
    return cast("Tensor | None", scales if scales is not None else cast(Any, layer.state).SCB)


def numel(layer: nn.Module) -> int:
    """Numbers in the weight, m n, however many are packed into one."""
    return cast(int, layer.out_features) * cast(int, layer.in_features)
