"""Fold an adapter into the weights, and put the plain layers back; and the way back."""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from frod.method.basis import without_autocast
from frod.method.fused import install, remove
from frod.method.linear import FrodLinear
from frod.method.state import AdapterState, find_state, frod_layers, get_state, own_buffers, use
from frod.method.state_dict import follow, leave
from frod.method.wrappers import ddp_leaves_alone, is_sharded, set_ddp_leaves_alone, unwrapped


@dataclass(frozen=True, kw_only=True, eq=False)
class Merged:
    """What `unmerge` puts back; kept on the model as `model._frod_merged`.

    `layers` are the adapted layers by their names in the model; `weights` their frozen weights, in main memory.
    """

    state: AdapterState
    layers: dict[str, FrodLinear]
    weights: dict[str, Tensor]


@torch.no_grad()
@without_autocast()
def merge(model: nn.Module, *, keep: bool = False) -> nn.Module:
    """Fold the adapter in use into the weights, in place, and put the plain layers back; other adapters are dropped.

    With `keep`, the frozen weights (in main memory) and all adapters are kept for `unmerge`.

    The outputs equal those of the adapted model in evaluation bit for bit; to rounding with plan="input_side", and of
    a fused q, k and v, where one product takes the place of three. What required a gradient before `attach` does so
    again. Returns the same model; ValueError if it has no adapter, or weights that are sharded (FSDP2) or quantised:
    W' does not lie on their grid.
    """
    for canonical, layer in frod_layers(model):
        layer.check_lambda()
        if is_sharded(layer.frozen):
            raise ValueError(
                f"layer {canonical!r} is sharded (FSDP2); save the adapter, load it into the plain model, and merge "
                "there."
            )
        if layer.quantised:
            raise ValueError(
                f"layer {canonical!r} is quantised, and a merged weight would have to be rounded to its grid. Keep the "
                "adapter apart, or load the model in half precision, load the adapter, and merge there."
            )
    kept = _kept(model) if keep else None
    for _, layer in frod_layers(model):
        layer.frozen.copy_(layer.form_weight())
        if keep:
            layer.drop_cache()
            layer.Ut = None  # takes as much room as the weight, and follows from it
    detach(model)
    if kept is not None:
        cast(Any, unwrapped(model))._frod_merged = kept
    else:
        vars(unwrapped(model)).pop("_frod_merged", None)
    return model


@torch.no_grad()
def unmerge(model: nn.Module) -> nn.Module:
    """Undo `merge(model, keep=True)`, in place: the frozen weights and the adapters are back, bit for bit.

    Parameters are the same objects as before, so an optimiser goes on with them. What was done to the merged weights
    is lost. Returns the same model; ValueError if nothing was kept, the model was cast, or has got an adapter since.
    """
    inner = unwrapped(model)
    kept: Merged | None = getattr(inner, "_frod_merged", None)
    if kept is None:
        raise ValueError(f"this {type(inner).__name__} has nothing to unmerge; merge it with merge(model, keep=True).")
    if find_state(inner) is not None:
        raise ValueError("the model has got an adapter since it was merged; merge that one first.")
    for name, weight in kept.weights.items():
        if (now := kept.layers[name].frozen.dtype) != weight.dtype:
            raise ValueError(f"{name!r} was merged as {weight.dtype} and is {now} now; cast the model back first.")
    for name, weight in kept.weights.items():
        kept.layers[name].frozen.copy_(weight)
    for name, layer in kept.layers.items():
        install(inner, name, layer.to(layer.frozen.device))
    del cast(Any, inner)._frod_merged
    cast(Any, inner)._frod = kept.state
    follow(inner, kept.state)
    use(inner)
    return model


def _kept(model: nn.Module) -> Merged:
    state, modules = get_state(model), dict(unwrapped(model).named_modules())
    layers = {name: module for name in state.layers if isinstance(module := modules[name], FrodLinear)}
    weights = {n: layer.frozen.to("cpu", copy=True) for n, layer in layers.items() if layer.active is not None}
    return Merged(state=state, layers=layers, weights=weights)


def detach(model: nn.Module) -> nn.Module:
    """Put the plain layers back in place, without what was trained; see `merge`."""
    given, model = model, unwrapped(model)
    state = get_state(model)
    set_ddp_leaves_alone(model, ddp_leaves_alone(model) - own_buffers(model))
    leave(model, state)
    for name in state.layers:
        remove(model, name)
    del cast(Any, model)._frod
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in state.required_grad)
    return given
