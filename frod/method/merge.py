"""Fold an adapter into the weights, and put the plain layers back."""

from typing import Any, cast

import torch
from torch import nn

from frod.method.basis import without_autocast
from frod.method.fused import remove
from frod.method.state import frod_layers, get_state, own_buffers
from frod.method.state_dict import leave
from frod.method.wrappers import ddp_leaves_alone, is_sharded, set_ddp_leaves_alone, unwrapped


@torch.no_grad()
@without_autocast()
def merge(model: nn.Module) -> nn.Module:
    """Fold the adapter in use into the weights, in place, and put the plain layers back; other adapters are dropped.

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
    for _, layer in frod_layers(model):
        layer.frozen.copy_(layer.form_weight())
    return detach(model)


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
